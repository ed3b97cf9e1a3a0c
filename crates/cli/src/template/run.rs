//! The interpreter: walks a template's tree.

use std::rc::Rc;

use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos, TemplateNode};

use super::value::{Type, Value};
use super::{Template, functions, print};

/// How deep templates may call each other.
const MAX_DEPTH: usize = 1000;

/// What a map's missing key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingKey {
    /// `<no value>`.
    NoValue,
    /// An error.
    Error,
}

/// Why a list of nodes ended early.
enum Stop {
    Break,
    Continue,
    Error(String),
}

impl From<String> for Stop {
    fn from(error: String) -> Self {
        Self::Error(error)
    }
}

struct Run<'a> {
    template: &'a Template,
    missing: MissingKey,
    output: &'a mut String,
    variables: Vec<(String, Value)>,
    depth: usize,
}

pub(super) fn execute(
    template: &Template,
    dot: &Value,
    missing: MissingKey,
    output: &mut String,
) -> Result<(), String> {
    let variables = vec![("$".to_owned(), dot.clone())];
    let mut run = Run { template, missing, output, variables, depth: 0 };
    match run.list(&template.tree, dot) {
        Err(Stop::Error(error)) => Err(error),
        _ => Ok(()),
    }
}

impl Run<'_> {
    fn list(&mut self, list: &ListNode, dot: &Value) -> Result<(), Stop> {
        let mark = self.variables.len();
        let result = list.nodes.iter().try_for_each(|node| self.node(node, dot));
        self.variables.truncate(mark);
        result
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), Stop> {
        match node {
            Node::List(list) => self.list(list, dot),
            Node::Text(text) => {
                self.output.push_str(&text.text);
                Ok(())
            }
            Node::Action(action) => {
                let value = self.pipe(&action.pipe, dot)?;
                if action.pipe.decl.is_empty() {
                    print::action(&value, self.output);
                }
                Ok(())
            }
            Node::If(branch) => self.branch(branch, dot, false),
            Node::With(branch) => self.branch(branch, dot, true),
            Node::Range(branch) => self.range(branch, dot),
            Node::Template(call) => self.call_template(call, dot),
            Node::Define(_) => Ok(()),
            Node::Break(_) => Err(Stop::Break),
            Node::Continue(_) => Err(Stop::Continue),
        }
    }

    fn branch(&mut self, branch: &BranchNode, dot: &Value, with: bool) -> Result<(), Stop> {
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let result = if value.is_true() {
            self.list(&branch.body, if with { &value } else { dot })
        } else {
            branch.else_body.as_ref().map_or(Ok(()), |body| self.list(body, dot))
        };
        self.variables.truncate(mark);
        result
    }

    fn range(&mut self, branch: &BranchNode, dot: &Value) -> Result<(), Stop> {
        let mark = self.variables.len();
        let value = self.pipe_value(&branch.pipe, dot)?;
        let entries = self.entries(branch, &value)?;
        if entries.is_empty() {
            return branch.else_body.as_ref().map_or(Ok(()), |body| self.list(body, dot));
        }
        for (key, element) in entries {
            self.variables.truncate(mark);
            match branch.pipe.decl.as_slice() {
                [] => {}
                [value] => self.bind(value, element.clone(), branch.pipe.is_assign),
                [index, value, ..] => {
                    self.bind(index, key, branch.pipe.is_assign);
                    self.bind(value, element.clone(), branch.pipe.is_assign);
                }
            }
            match self.list(&branch.body, &element) {
                Ok(()) | Err(Stop::Continue) => {}
                Err(Stop::Break) => break,
                Err(error) => return Err(error),
            }
        }
        self.variables.truncate(mark);
        Ok(())
    }

    fn entries(&self, branch: &BranchNode, value: &Value) -> Result<Vec<(Value, Value)>, Stop> {
        if let Some(elements) = value.elements() {
            let keys = (0..).map(Value::Int);
            return Ok(keys.zip(elements).collect());
        }
        if let Some(entries) = value.entries() {
            return Ok(entries.into_iter().map(|(key, value)| (Value::text(key), value)).collect());
        }
        match value {
            Value::Missing | Value::Nil => Ok(Vec::new()),
            Value::Int(count) => Ok((0..(*count).max(0)).map(|i| (Value::Int(i), Value::Int(i))).collect()),
            other => {
                let mut text = String::new();
                print::value(other, &mut text);
                Err(self
                    .error(
                        pipe_pos(&branch.pipe),
                        &pipe_text(&branch.pipe),
                        &format!("range can't iterate over {text}"),
                    )
                    .into())
            }
        }
    }

    fn call_template(&mut self, call: &TemplateNode, dot: &Value) -> Result<(), Stop> {
        let argument = call.pipe.as_ref().map_or(Ok(Value::Missing), |pipe| self.pipe(pipe, dot))?;
        let Some(body) = self.template.defines.get(call.name.as_str()) else {
            let text = format!("{{{{template {}}}}}", print::go_quote(&call.name));
            let at = Pos::new(call.pos.offset + "template ".len(), call.pos.line);
            return Err(self
                .error(at, &text, &format!("template {} not defined", print::go_quote(&call.name)))
                .into());
        };
        if self.depth >= MAX_DEPTH {
            return Err(self
                .error(call.pos, &call.name, &format!("exceeded maximum template depth ({MAX_DEPTH})"))
                .into());
        }
        self.depth += 1;
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), argument.clone())]);
        let result = self.list(body, &argument);
        self.variables = outer;
        self.depth -= 1;
        result
    }

    fn bind(&mut self, name: &str, value: Value, assign: bool) {
        if assign && let Some(variable) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            variable.1 = value;
            return;
        }
        self.variables.push((name.to_owned(), value));
    }

    /// The value of a pipeline, bound to the variable that it declares.
    fn pipe(&mut self, pipe: &PipeNode, dot: &Value) -> Result<Value, String> {
        let value = self.pipe_value(pipe, dot)?;
        if let [name] = pipe.decl.as_slice() {
            self.bind(name, value.clone(), pipe.is_assign);
        }
        Ok(value)
    }

    fn pipe_value(&mut self, pipe: &PipeNode, dot: &Value) -> Result<Value, String> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        Ok(value.unwrap_or(Value::Missing))
    }

    fn command(&mut self, command: &CommandNode, dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        let Some((first, rest)) = command.args.split_first() else { return Ok(Value::Missing) };
        match first {
            Expr::Identifier(..) => self.function(command, first, rest, dot, piped),
            Expr::Field(_, names) => self.fields(first, dot.clone(), names, rest, dot, piped),
            Expr::Variable(_, name, names) => {
                let value = self.variable(first, name)?;
                self.fields(first, value, names, rest, dot, piped)
            }
            Expr::Chain(_, inner, names) => {
                let value = self.expression(inner, dot)?;
                self.fields(first, value, names, rest, dot, piped)
            }
            Expr::Nil(_) => Err(self.at(first, "nil is not a command")),
            _ if !rest.is_empty() || piped.is_some() => {
                Err(self
                    .at(first, &format!("can't give argument to non-function {}", expression_text(first))))
            }
            _ => self.expression(first, dot),
        }
    }

    fn function(
        &mut self,
        command: &CommandNode,
        first: &Expr,
        rest: &[Expr],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let Expr::Identifier(_, name) = first else { return Ok(Value::Missing) };
        if matches!(name.as_str(), "and" | "or") {
            return self.short_circuit(name == "and", rest, dot, piped);
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for expression in rest {
            arguments.push(self.expression(expression, dot)?);
        }
        arguments.extend(piped);
        functions::call(name, &arguments).map_err(|failure| match failure {
            functions::Failure::Call(why) => {
                self.error(first.pos(), &command_text(command), &format!("error calling {name}: {why}"))
            }
            functions::Failure::Argument(index, why) => {
                let at = rest.get(index).unwrap_or(first);
                self.at(at, &why)
            }
            functions::Failure::Count(why) => self.at(first, &why),
        })
    }

    fn short_circuit(
        &mut self,
        and: bool,
        rest: &[Expr],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let mut value = Value::Missing;
        for expression in rest {
            value = self.expression(expression, dot)?;
            if value.is_true() != and {
                return Ok(value);
            }
        }
        Ok(piped.unwrap_or(value))
    }

    fn variable(&self, expression: &Expr, name: &str) -> Result<Value, String> {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.clone())
            .ok_or_else(|| self.at(expression, &format!("undefined variable: {name}")))
    }

    fn expression(&mut self, expression: &Expr, dot: &Value) -> Result<Value, String> {
        match expression {
            Expr::Dot(_) => Ok(dot.clone()),
            Expr::Field(_, names) => self.fields(expression, dot.clone(), names, &[], dot, None),
            Expr::Variable(_, name, names) => {
                let value = self.variable(expression, name)?;
                self.fields(expression, value, names, &[], dot, None)
            }
            Expr::Identifier(pos, _) => {
                let command = CommandNode { pos: *pos, args: vec![expression.clone()] };
                self.command(&command, dot, None)
            }
            Expr::String(_, text) => Ok(Value::text(&**text)),
            Expr::Number(_, Number::Int(number)) => Ok(Value::Int(*number)),
            Expr::Number(_, Number::Float(number)) => Ok(Value::Float(*number)),
            Expr::Number(_, Number::Uint(number)) => {
                Err(self.at(expression, &format!("{number} overflows int")))
            }
            Expr::Bool(_, value) => Ok(Value::Bool(*value)),
            Expr::Nil(_) => Ok(Value::Missing),
            Expr::Pipe(_, pipe) => self.pipe(pipe, dot),
            Expr::Chain(_, inner, names) => {
                let value = self.expression(inner, dot)?;
                self.fields(expression, value, names, &[], dot, None)
            }
        }
    }

    /// Follows a chain of members; the last one may be a method with an argument.
    fn fields<N: AsRef<str>>(
        &mut self,
        expression: &Expr,
        mut value: Value,
        names: &[N],
        arguments: &[Expr],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let Some((last, chain)) = names.split_last() else {
            if arguments.is_empty() && piped.is_none() {
                return Ok(value);
            }
            let text = expression_text(expression);
            return Err(self.at(expression, &format!("can't give argument to non-function {text}")));
        };
        for name in chain {
            value = self.field(expression, &value, name.as_ref())?;
        }
        let last = last.as_ref();
        let mut given = Vec::new();
        for argument in arguments {
            given.push(self.expression(argument, dot)?);
        }
        given.extend(piped);
        if let Value::Object(object) = &value
            && object.is_method(last)
        {
            return match given.as_slice() {
                [Value::Text(argument)] => Ok(object.call(last, argument).unwrap_or(Value::Missing)),
                given => {
                    let count = given.len();
                    Err(self.at(expression, &format!("wrong number of args for {last}: want 1 got {count}")))
                }
            };
        }
        if !given.is_empty() {
            return Err(self.at(expression, &format!("{last} is not a method but has arguments")));
        }
        self.field(expression, &value, last)
    }

    fn field(&self, expression: &Expr, value: &Value, name: &str) -> Result<Value, String> {
        let unknown =
            |kind: &str| self.at(expression, &format!("can't evaluate field {name} in type {kind}"));
        match value {
            Value::Object(object) => object.member(name).ok_or_else(|| unknown(object.type_name())),
            Value::Document(json, Type::Struct(kind)) => {
                let field = kind.field(name).ok_or_else(|| unknown(kind.name))?;
                Ok(Value::part(Rc::new(field.of(json)), field.kind))
            }
            Value::Document(json, kind) => {
                let Some(element) = value.map_element(kind) else { return Err(unknown(&value.type_name())) };
                match json.get(name) {
                    Some(part) => Ok(Value::part(Rc::new(part.clone()), element)),
                    None if self.missing == MissingKey::Error => {
                        Err(self
                            .at(expression, &format!("map has no entry for key {}", print::go_quote(name))))
                    }
                    None => Ok(Value::Missing),
                }
            }
            Value::Nil => Err(self.at(expression, &format!("nil pointer evaluating {name}"))),
            Value::Missing => {
                Err(self.at(expression, &format!("nil data; no entry for key {}", print::go_quote(name))))
            }
            // In a document of unknown types Go knows only that it is something.
            _ if self.missing == MissingKey::Error => Err(unknown("interface {}")),
            other => Err(unknown(&other.type_name())),
        }
    }

    fn at(&self, expression: &Expr, why: &str) -> String {
        self.error(position(expression), &expression_text(expression), why)
    }

    fn error(&self, pos: Pos, context: &str, why: &str) -> String {
        let before = self.template.source.get(..pos.offset).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rfind('\n').map_or(pos.offset, |newline| pos.offset - newline - 1);
        let name = &self.template.name;
        format!("template: {name}:{line}:{column}: executing \"{name}\" at <{context}>: {why}")
    }
}

/// Where Go says that an expression stands: a chain of members at its second one.
fn position(expression: &Expr) -> Pos {
    let pos = expression.pos();
    match expression {
        Expr::Field(_, names) if names.len() > 1 => Pos::new(pos.offset + 1 + names[0].len(), pos.line),
        Expr::Variable(_, name, names) if !names.is_empty() => Pos::new(pos.offset + name.len(), pos.line),
        _ => pos,
    }
}

fn pipe_pos(pipe: &PipeNode) -> Pos {
    pipe.commands.first().and_then(|command| command.args.first()).map_or(pipe.pos, position)
}

fn dotted<N: AsRef<str>>(names: &[N]) -> String {
    names.iter().map(|name| format!(".{}", name.as_ref())).collect()
}

fn expression_text(expression: &Expr) -> String {
    match expression {
        Expr::Dot(_) => ".".to_owned(),
        Expr::Field(_, names) => dotted(names),
        Expr::Variable(_, name, names) => format!("{name}{}", dotted(names)),
        Expr::Identifier(_, name) => name.to_string(),
        Expr::String(_, text) => print::go_quote(text),
        Expr::Number(_, Number::Int(number)) => number.to_string(),
        Expr::Number(_, Number::Uint(number)) => number.to_string(),
        Expr::Number(_, Number::Float(number)) => number.to_string(),
        Expr::Bool(_, value) => value.to_string(),
        Expr::Nil(_) => "nil".to_owned(),
        Expr::Pipe(_, pipe) => format!("({})", pipe_text(pipe)),
        Expr::Chain(_, inner, names) => format!("{}{}", expression_text(inner), dotted(names)),
    }
}

fn command_text(command: &CommandNode) -> String {
    command.args.iter().map(expression_text).collect::<Vec<_>>().join(" ")
}

fn pipe_text(pipe: &PipeNode) -> String {
    pipe.commands.iter().map(command_text).collect::<Vec<_>>().join(" | ")
}
