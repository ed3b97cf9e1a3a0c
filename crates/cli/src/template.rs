//! Go templates, as `--format` takes them.
//!
//! gotmpl reads the text into a tree; running it is ours, because what people see depends on things that gotmpl's
//! values do not have: structs that print as `{a b}`, methods (`.Label "x"`), nil that is not empty, and errors that
//! name the place (`template: :1:2: executing "" at <.Foo>: …`).
//!
//! - [`value`]: what a template works on; [`print`]: how it is printed
//! - [`run`]: the interpreter; [`functions`]: Go's functions and Docker's

pub(crate) mod functions;
pub(crate) mod print;
pub(crate) mod run;
pub(crate) mod value;

use std::collections::BTreeMap;

use gotmpl::TemplateError;
use gotmpl::parse::{Expr, ListNode, Node, Parser, PipeNode};

pub(crate) use self::run::MissingKey;
pub(crate) use self::value::Value;

/// Stands behind the text while it is read; no template has it.
const END_MARK: char = '\u{0}';

/// A template that has been read.
pub(crate) struct Template {
    name: String,
    source: String,
    tree: ListNode,
    defines: BTreeMap<String, ListNode>,
}

impl Template {
    /// Reads a template. The error is Go's, `template: NAME:LINE: …`.
    pub(crate) fn parse(name: &str, source: &str) -> Result<Self, String> {
        let parsed = Parser::new(source, "{{", "}}").and_then(Parser::parse);
        let (tree, defines) = parsed.map_err(|error| parse_error(name, source, &error))?;
        if let Some(what) = unbalanced(source) {
            let line = source.matches('\n').count() + 1;
            return Err(format!("template: {name}:{line}: unexpected {what}"));
        }
        let template = Self {
            name: name.to_owned(),
            source: source.to_owned(),
            tree,
            defines: defines.into_iter().map(|define| (define.name.to_string(), define.body)).collect(),
        };
        let bodies = std::iter::once(&template.tree).chain(template.defines.values());
        for body in bodies {
            template.check_functions(&body.nodes)?;
        }
        Ok(template)
    }

    /// Runs the template on `dot`. What has been printed before an error is in `output`.
    pub(crate) fn execute(
        &self,
        dot: &Value,
        missing: MissingKey,
        output: &mut String,
    ) -> Result<(), String> {
        run::execute(self, dot, missing, output)
    }

    /// Refuses functions that do not exist, as Go does when it reads a template.
    fn check_functions(&self, nodes: &[Node]) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::List(list) => self.check_functions(&list.nodes)?,
                Node::Action(action) => self.check_pipe(&action.pipe)?,
                Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                    self.check_pipe(&branch.pipe)?;
                    self.check_functions(&branch.body.nodes)?;
                    if let Some(body) = &branch.else_body {
                        self.check_functions(&body.nodes)?;
                    }
                }
                Node::Template(call) => call.pipe.iter().try_for_each(|pipe| self.check_pipe(pipe))?,
                Node::Define(define) => self.check_functions(&define.body.nodes)?,
                Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
            }
        }
        Ok(())
    }

    fn check_pipe(&self, pipe: &PipeNode) -> Result<(), String> {
        let mut expressions = pipe.commands.iter().flat_map(|command| &command.args);
        expressions.try_for_each(|expression| self.check_expression(expression))
    }

    fn check_expression(&self, expression: &Expr) -> Result<(), String> {
        match expression {
            Expr::Identifier(pos, name) if !functions::exists(name) => {
                Err(format!("template: {}:{}: function \"{name}\" not defined", self.name, pos.line))
            }
            Expr::Pipe(_, pipe) => self.check_pipe(pipe),
            Expr::Chain(_, inner, _) => self.check_expression(inner),
            _ => Ok(()),
        }
    }
}

/// What Go would not expect: an `end` or `else` too many, or the end of the text before an `end`. gotmpl's parser takes
/// both for the end of the template, so a mark behind the text shows where it got to.
fn unbalanced(source: &str) -> Option<&'static str> {
    let marked = format!("{source}{END_MARK}");
    let (tree, defines) = Parser::new(&marked, "{{", "}}").and_then(Parser::parse).ok()?;
    if tree.nodes.last().is_some_and(is_mark) {
        return None;
    }
    if tree.nodes.last().is_some_and(has_mark) || defines.iter().any(|define| list_has_mark(&define.body)) {
        return Some("EOF");
    }
    let at = |word: &str| source.find(&format!("{{{{{word}"));
    Some(match (at("else"), at("end")) {
        (Some(first), Some(end)) if first < end => "{{else}}",
        (Some(_), None) => "{{else}}",
        _ => "{{end}}",
    })
}

fn is_mark(node: &Node) -> bool {
    matches!(node, Node::Text(text) if text.text.ends_with(END_MARK))
}

fn list_has_mark(list: &ListNode) -> bool {
    list.nodes.last().is_some_and(has_mark)
}

fn has_mark(node: &Node) -> bool {
    match node {
        Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
            list_has_mark(branch.else_body.as_ref().unwrap_or(&branch.body))
        }
        Node::Define(define) => list_has_mark(&define.body),
        Node::List(list) => list_has_mark(list),
        node => is_mark(node),
    }
}

/// Go leaves the column out of what it says about a text that it cannot read, and knows what lacks a value.
fn parse_error(name: &str, source: &str, error: &TemplateError) -> String {
    let (line, message) = match error {
        TemplateError::Parse { line, message, .. } | TemplateError::Lex { line, message, .. } => {
            ((*line).max(1), message.clone())
        }
        other => (1, other.to_string()),
    };
    let message = match message.as_str() {
        "empty command" => {
            let words = ["if", "range", "with"];
            let lacking = words.into_iter().find(|word| source.contains(&format!("{{{{{word}}}}}")));
            format!("missing value for {}", lacking.unwrap_or("command"))
        }
        "unterminated string" => "unterminated quoted string".to_owned(),
        text if text.starts_with("expected RightParen") => "unclosed left paren".to_owned(),
        text if text.ends_with("got RightParen (\")\")") => "unexpected right paren".to_owned(),
        text => match text.strip_prefix("unexpected character: '").and_then(|rest| rest.chars().next()) {
            Some(c) => format!("bad character U+{:04X} '{c}'", u32::from(c)),
            None => message,
        },
    };
    format!("template: {name}:{line}: {message}")
}
