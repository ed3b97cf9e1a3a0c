use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::protocol::{MAJOR, MINOR};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attach() -> Attach {
    Attach {
        stdin: true,
        stdout: true,
        stderr: false,
        framing: Framing::Multiplexed,
        detach_keys: vec![0x10, 0x11],
        early_input: b"hi".to_vec(),
    }
}

#[test]
fn requests_of_version_1_keep_their_bytes() {
    let exec = |id: &str| Target::Exec(id.into());
    let cases = [
        (Request::Hello { major: 1, minor: 0 }, "010000000700000001000000"),
        (Request::Create, "0200000007000000"),
        (Request::Start, "0300000007000000"),
        (
            Request::Attach { target: Target::Init, attach: attach() },
            "04000000070000000001010001020000001011020000006869",
        ),
        (Request::Exec { exec_id: "e1".into(), attach: None }, "050000000700000002000000653100"),
        (
            Request::Exec { exec_id: "e1".into(), attach: Some(attach()) },
            "05000000070000000200000065310101010001020000001011020000006869",
        ),
        (Request::Signal { target: exec("e1"), signal: 15 }, "0600000007000000010200000065310f000000"),
        (Request::Resize { target: Target::Init, height: 24, width: 80 }, "07000000070000000018005000"),
        (Request::State, "0800000007000000"),
        (Request::Root, "0900000007000000"),
        (Request::FlushLog, "0a00000007000000"),
    ];
    for (request, golden) in cases {
        let packet = request.encode(7);
        assert_eq!(hex(&packet), golden, "{request:?}");
        assert_eq!(Request::decode(&packet), Ok(Received::Known { sequence: 7, message: request }));
    }
}

#[test]
fn answers_of_version_1_keep_their_bytes() {
    let exit = Exit { code: 137, oom_killed: true, at: 1_700_000_000_000_000_001 };
    let exit_bytes = "890000000101002a36fe9c9717";
    let hello = Reply::Hello {
        major: MAJOR,
        minor: MINOR,
        shim_pid: 9,
        plan_digest: "ab".into(),
        init: Some(ProcessState::Running { pid: 10 }),
        execs: vec![("e".into(), ProcessState::Exited(exit)), ("f".into(), ProcessState::Created { pid: 3 })],
    };
    let replies = [
        (
            hello,
            format!(
                "01800000070000000100000009000000020000006162020a00000002000000\
                 010000006503{exit_bytes}01000000660103000000"
            ),
        ),
        (Reply::Ok, "0280000007000000".into()),
        (Reply::Created { pid: 10 }, "03800000070000000a000000".into()),
        (Reply::Started { pid: 10 }, "04800000070000000a000000".into()),
        (
            Reply::Error { exit_code: 127, message: "no".into() },
            "05800000070000007f000000020000006e6f".into(),
        ),
    ];
    for (reply, golden) in replies {
        let packet = reply.encode(7);
        assert_eq!(hex(&packet), golden, "{reply:?}");
        let message = FromShim::Reply(reply);
        assert_eq!(FromShim::decode(&packet), Ok(Received::Known { sequence: 7, message }));
    }
    let events = [
        (Event::Exited { target: Target::Init, exit }, format!("01c000000000000000{exit_bytes}")),
        (Event::Detached { target: Target::Exec("e".into()) }, "02c0000000000000010100000065".into()),
    ];
    for (event, golden) in events {
        let packet = event.encode();
        assert_eq!(hex(&packet), golden, "{event:?}");
        let message = FromShim::Event(event);
        assert_eq!(FromShim::decode(&packet), Ok(Received::Known { sequence: 0, message }));
    }
}

#[test]
fn an_unknown_kind_is_told_by_its_number() {
    let packet = [0x77, 0x07, 0, 0, 5, 0, 0, 0, 1, 2, 3];
    assert_eq!(Request::decode(&packet), Ok(Received::Unknown { kind: 0x777, sequence: 5 }));
    assert_eq!(FromShim::decode(&packet), Ok(Received::Unknown { kind: 0x777, sequence: 5 }));
}

#[test]
fn fields_added_by_a_later_minor_version_are_ignored() {
    let mut packet = Request::Signal { target: Target::Init, signal: 9 }.encode(1);
    packet.extend_from_slice(b"new");
    let message = Request::Signal { target: Target::Init, signal: 9 };
    assert_eq!(Request::decode(&packet), Ok(Received::Known { sequence: 1, message }));
}

#[test]
fn a_broken_packet_still_gives_its_sequence_number() {
    let mut packet = Request::Signal { target: Target::Init, signal: 9 }.encode(42);
    packet.truncate(10);
    assert_eq!(Request::decode(&packet), Err(DecodeError::Truncated("signal")));
    assert_eq!(sequence_of(&packet), 42);
    assert_eq!(sequence_of(&packet[..5]), 0);
}

fn target_strategy() -> impl Strategy<Value = Target> {
    prop_oneof![Just(Target::Init), ".{0,20}".prop_map(Target::Exec)]
}

fn attach_strategy() -> impl Strategy<Value = Attach> {
    let framing = prop_oneof![Just(Framing::Raw), Just(Framing::Multiplexed)];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (flags, framing, vec(any::<u8>(), 0..8), vec(any::<u8>(), 0..64)).prop_map(
        |((stdin, stdout, stderr), framing, detach_keys, early_input)| Attach {
            stdin,
            stdout,
            stderr,
            framing,
            detach_keys,
            early_input,
        },
    )
}

fn request_strategy() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<u16>(), any::<u16>()).prop_map(|(major, minor)| Request::Hello { major, minor }),
        (target_strategy(), attach_strategy())
            .prop_map(|(target, attach)| Request::Attach { target, attach }),
        (".{0,20}", proptest::option::of(attach_strategy()))
            .prop_map(|(exec_id, attach)| Request::Exec { exec_id, attach }),
        (target_strategy(), any::<i32>()).prop_map(|(target, signal)| Request::Signal { target, signal }),
        (target_strategy(), any::<u16>(), any::<u16>()).prop_map(|(target, height, width)| Request::Resize {
            target,
            height,
            width
        }),
    ]
}

fn state_strategy() -> impl Strategy<Value = ProcessState> {
    prop_oneof![
        any::<i32>().prop_map(|pid| ProcessState::Created { pid }),
        any::<i32>().prop_map(|pid| ProcessState::Running { pid }),
        exit_strategy().prop_map(ProcessState::Exited),
    ]
}

fn exit_strategy() -> impl Strategy<Value = Exit> {
    (any::<i32>(), any::<bool>(), any::<i64>()).prop_map(|(code, oom_killed, at)| Exit {
        code,
        oom_killed,
        at,
    })
}

fn reply_strategy() -> impl Strategy<Value = Reply> {
    let init = proptest::option::of(state_strategy());
    let hello = (any::<u16>(), any::<i32>(), ".{0,64}", init, vec((".{0,9}", state_strategy()), 0..5));
    prop_oneof![
        hello.prop_map(|(minor, shim_pid, plan_digest, init, execs)| Reply::Hello {
            major: MAJOR,
            minor,
            shim_pid,
            plan_digest,
            init,
            execs,
        }),
        (any::<i32>(), ".{0,99}").prop_map(|(exit_code, message)| Reply::Error { exit_code, message }),
    ]
}

proptest! {
    #[test]
    fn requests_survive_the_round_trip(request in request_strategy(), sequence: u32) {
        let packet = request.encode(sequence);
        prop_assert_eq!(Request::decode(&packet), Ok(Received::Known { sequence, message: request }));
    }

    #[test]
    fn replies_survive_the_round_trip(reply in reply_strategy(), sequence: u32) {
        let packet = reply.encode(sequence);
        let message = FromShim::Reply(reply);
        prop_assert_eq!(FromShim::decode(&packet), Ok(Received::Known { sequence, message }));
    }

    #[test]
    fn events_survive_the_round_trip(target in target_strategy(), exit in exit_strategy()) {
        let event = Event::Exited { target, exit };
        let packet = event.encode();
        let message = FromShim::Event(event);
        prop_assert_eq!(FromShim::decode(&packet), Ok(Received::Known { sequence: 0, message }));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in vec(any::<u8>(), 0..200), kind in 0u16..16, high: bool) {
        let _ = Request::decode(&bytes);
        let _ = FromShim::decode(&bytes);
        // The same with a kind that is known, to get past the header.
        let kind = if high { kind | 0x8000 } else { kind };
        let packet = [&kind.to_le_bytes()[..], &[0; 6], &bytes].concat();
        let _ = Request::decode(&packet);
        let _ = FromShim::decode(&packet);
    }

    #[test]
    fn a_cut_packet_is_an_error_or_shorter(request in request_strategy(), cut in 0usize..100) {
        let packet = request.encode(1);
        let cut = cut.min(packet.len());
        let _ = Request::decode(&packet[..cut]);
    }
}
