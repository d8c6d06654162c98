use super::testing::{context, load};
use super::*;
use crate::applayer::generic;
use crate::detect::signature::{Op, RuleProto, Signature, StateOp, Value};
use crate::types::Direction;

fn one(options: &str) -> Signature {
    rule(&format!("alert tcp any any -> any any ({options} sid:1;)"))
}

fn rule(text: &str) -> Signature {
    let mut set = load(&context(), text);
    assert_eq!(set.signatures.len(), 1, "{text}\n{:?}", set.diagnostics);
    let sig = set.signatures.remove(0);
    sig.check();
    sig
}

fn refused(text: &str) -> Code {
    let set = load(&context(), text);
    assert!(set.signatures.is_empty(), "{text}");
    set.diagnostics[0].code
}

/// Names of the buffers with the contents in each.
fn layout(sig: &Signature) -> Vec<(String, Vec<String>)> {
    let cx = context();
    sig.buffers
        .iter()
        .map(|m| {
            let contents = m.ops.iter().filter_map(|o| match o {
                Op::Content(c) => Some(String::from_utf8_lossy(&c.bytes).into_owned()),
                Op::Pcre(p) => Some(format!("/{}/", String::from_utf8_lossy(&p.regex.pattern))),
                _ => None,
            });
            (cx.vocabulary.buffer_def(m.buffer).unwrap().name.to_owned(), contents.collect())
        })
        .collect()
}

fn expect(sig: &Signature, wanted: &[(&str, &[&str])]) {
    let wanted: Vec<_> =
        wanted.iter().map(|(b, c)| (b.to_string(), c.iter().map(|c| c.to_string()).collect::<Vec<_>>())).collect();
    assert_eq!(layout(sig), wanted);
}

fn fast(sig: &Signature) -> String {
    let (b, o) = sig.fast_pattern.unwrap();
    let Op::Content(c) = &sig.buffers[b].ops[o] else { panic!() };
    String::from_utf8_lossy(&c.bytes).into_owned()
}

#[test]
fn sticky_buffers_and_modifiers_place_contents() {
    let s = one(
        r#"content:"p"; http.uri; content:"u"; http.header; content:"h"; http.uri; content:"v"; pkt_data; content:"q";"#,
    );
    expect(&s, &[("pkt_data", &["p", "q"]), ("http.uri", &["u", "v"]), ("http.header", &["h"])]);
    let s = one(r#"content:"a"; http_uri; content:"b"; content:"c"; nocase; http_uri; content:"d"; http_host;"#);
    expect(&s, &[("pkt_data", &["b"]), ("http.uri", &["a", "c"]), ("http.host", &["d"])]);
    let s = one(r#"content:"a"; http_uri; pcre:"/x/UR"; pcre:"/y/P";"#);
    expect(&s, &[("http.uri", &["a", "/x/"]), ("http.request_body", &["/y/"])]);
    let s = one(r#"http.uri; content:"a"; url_decode; content:"b";"#);
    assert_eq!(s.buffers.len(), 2);
    assert_eq!(s.buffers[1].transforms[0].identity(), "url_decode");
}

#[test]
fn what_goes_on_from_a_moved_content_goes_to_its_buffer() {
    for options in [
        "content:\"a\"; http_uri; isdataat:!10,relative;",
        "content:\"a\"; http_uri; byte_extract:1,2,n,string,dec,relative; content:\"b\"; http_uri; distance:n;",
    ] {
        let sig = one(options);
        assert_eq!(sig.buffers.iter().filter(|b| !b.ops.is_empty()).count(), 1, "{options}");
    }
    // What does not go on from it looks at the payload.
    let sig = one("content:\"a\"; http_uri; isdataat:10;");
    assert_eq!(sig.buffers.iter().filter(|b| !b.ops.is_empty()).count(), 2);
}

#[test]
fn a_pcre_may_stand_without_quotes() {
    let sig = one("content:\"a\"; http_uri; pcre:/b+/U;");
    expect(&sig, &[("http.uri", &["a", "/b+/"])]);
}

#[test]
fn quotes_stand_where_the_keyword_wants_them() {
    let refused = |options: &str| {
        let text = format!("alert tcp any any -> any any ({options} sid:1;)");
        assert!(load(&context(), &text).signatures.is_empty(), "{options}");
    };
    for bare in ["classtype:bad-unknown;", "reference:cve,1;", "metadata:a b;", "dns.opcode:1;", "urilen:1;"] {
        one(bare);
        refused(&bare.replacen(':', ":\"", 1).replace(';', "\";"));
    }
    refused(r#"content:"abcdef"; fast_pattern:"1,3";"#);
    one(r#"tls.subject:!"CN=a";"#);
    refused("tls.subject:CN=a;");
    one("fileext:exe;");
}

#[test]
fn what_can_never_match_is_refused() {
    let loads = |text: &str| load(&context(), &format!("alert {text} sid:1;)")).signatures.len() == 1;
    for (fits, never) in [
        ("http.host; content:\"a\";", "http.host; content:\"a\"; nocase;"),
        ("http.host; content:\"a\";", "http.host; content:\"A\";"),
        ("http.method; content:\"GET\";", "http.method; content:\"GET \";"),
        ("ja3.hash; content:\"00112233445566778899aabbccddeeff\";", "ja3.hash; content:\"0011\";"),
        ("tls.cert_serial; content:\"01:02\";", "tls.cert_serial; content:\"0102\";"),
        ("tls.cert_fingerprint; pcre:\"/a/\";", "tls.cert_fingerprint; content:\"4a:a3\";"),
        ("http.uri; bsize:2; content:!\"ab\";", "http.uri; bsize:2; content:!\"abc\";"),
        ("content:\"ab\"; fast_pattern; depth:5;", "content:\"ab\"; fast_pattern:only; depth:5;"),
        ("content:\"ab\"; content:\"c\"; distance:0;", "content:\"ab\"; fast_pattern:only; content:\"c\"; distance:0;"),
        ("tcp.hdr; content:\"a\";", "udp.hdr; content:\"a\";"),
    ] {
        assert!(loads(&format!("tcp any any -> any any ({fits}")), "{fits}");
        assert!(!loads(&format!("tcp any any -> any any ({never}")), "{never}");
    }
    for (header, options, fits) in [
        ("tcp-pkt", "content:\"a\";", true),
        ("tcp-pkt", "http.uri; content:\"a\";", false),
        ("ssh", "http.uri; content:\"a\";", false),
        ("http2", "http.uri; content:\"a\";", true),
        ("dns", "file.data; content:\"a\";", false),
        ("ftp", "filestore;", false),
        ("smb", "filestore;", true),
        ("http1:request_line", "http.uri; content:\"a\";", true),
        ("http1:request_headers", "http.uri; content:\"a\";", false),
        ("http1:request_headers", "http.host; content:\"a\";", true),
        ("tls:client_hello_done", "tls.sni; content:\"a\";", true),
        ("tls:client_in_progress", "tls.sni; content:\"a\";", false),
    ] {
        assert_eq!(loads(&format!("{header} any any -> any any ({options}")), fits, "{header} {options}");
    }
}

#[test]
fn several_instances_are_several_matches() {
    let s = rule(r#"alert dns any any -> any any (dns.query; content:"a"; dns.query; content:"b"; sid:1;)"#);
    expect(&s, &[("dns.query", &["a"]), ("dns.query", &["b"])]);
}

#[test]
fn direction_comes_from_flow_or_from_buffers() {
    assert_eq!(one(r#"http.uri; content:"a";"#).flow.direction, Some(Direction::ToServer));
    assert_eq!(one(r#"http.stat_code; content:"2";"#).flow.direction, Some(Direction::ToClient));
    assert_eq!(one(r#"http.header; content:"a";"#).flow.direction, None);
    let s = one(r#"flow:to_client; http.header; content:"a";"#);
    assert!(s.flow.present && s.buffers[0].direct == crate::applayer::Direct::ToClient);
    assert!(!one(r#"http.uri; content:"a";"#).flow.present);
}

#[test]
fn the_fast_pattern_is_the_named_or_the_best() {
    assert_eq!(fast(&one(r#"content:"ab"; content:"abcd"; content:!"abcdefgh";"#)), "abcd");
    assert_eq!(fast(&one(r#"content:"ab"; fast_pattern; content:"abcd";"#)), "ab");
    assert_eq!(fast(&one(r#"content:"longer than"; http.uri; content:"uri";"#)), "uri");
    assert_eq!(fast(&one(r#"http.method; content:"OPTIONS"; http.uri; content:"/a";"#)), "/a");
    assert_eq!(fast(&one(r#"http.method; content:"OPTIONS"; content:"x";"#)), "OPTIONS");
    assert_eq!(fast(&one(r#"content:"aaaa"; content:"wxyz";"#)), "wxyz");
    assert_eq!(one(r#"content:!"abc";"#).fast_pattern, None);
    assert_eq!(one(r#"dsize:5;"#).fast_pattern, None);
}

#[test]
fn byte_variables_reach_later_keywords() {
    let s = one(
        r#"byte_extract:1,0,len; byte_math:bytes 1, offset 1, oper +, rvalue len, result sum; content:"a"; offset:sum; isdataat:len,relative;"#,
    );
    assert_eq!(s.slots, 2);
    let ops = &s.buffers[0].ops;
    assert!(matches!(&ops[2], Op::Content(c) if c.offset == Some(Value::Var(1))));
    assert!(matches!(&ops[3], Op::IsDataAt(i) if i.at == Value::Var(0) && i.relative));
    assert_eq!(refused(r#"alert tcp any any -> any any (content:"a"; offset:len; sid:1;)"#), Code::ByteVariable);
}

#[test]
fn replacements_follow_their_content() {
    let s = one(r#"content:"u"; http_uri;"#);
    assert!(s.replace.is_empty());
    let s = one(r#"content:"abc"; replace:"xyz"; content:"def";"#);
    assert_eq!((s.replace[0].buffer, s.replace[0].op), (0, 0));
    assert_eq!(s.buffers[0].buffer, generic::PAYLOAD);
}

#[test]
fn classes_give_category_and_priority() {
    let mut cx = context();
    cx.classes =
        Classifications::parse("config classification: worm,A Worm,2\nconfig classification: bad,Bad,1", "c").0;
    let set = load(
        &cx,
        "alert tcp any any -> any any (classtype:worm; sid:1;)\n\
         alert tcp any any -> any any (priority:9; classtype:worm; sid:2;)\n\
         alert tcp any any -> any any (sid:3;)",
    );
    let all: Vec<_> = set.signatures.iter().map(|s| (s.category.as_str(), s.priority)).collect();
    assert_eq!(all, [("A Worm", 2), ("A Worm", 9), ("", 3)]);
}

#[test]
fn the_higher_revision_stays() {
    let text = |a: u32, b: u32| {
        format!("alert tcp any any -> any any (sid:1; rev:{a};)\nalert udp any any -> any any (sid:1; rev:{b};)")
    };
    for (a, b, wanted) in [(1, 2, RuleProto::Udp), (2, 1, RuleProto::Tcp), (2, 2, RuleProto::Tcp)] {
        let set = load(&context(), &text(a, b));
        assert_eq!(set.signatures.len(), 1);
        assert_eq!(set.signatures[0].header.proto, wanted);
        assert_eq!(set.diagnostics[0].code, Code::SidRepeated);
        assert_eq!((set.stats.loaded, set.stats.repeated, set.stats.refused), (1, 1, 0));
    }
}

#[test]
fn order_of_evaluation() {
    let text = r#"
alert tcp any any -> any any (priority:2; sid:1;)
alert tcp any any -> any any (priority:1; sid:2;)
drop tcp any any -> any any (sid:3;)
alert tcp any any -> any any (flowbits:isset,a; sid:4;)
alert tcp any any -> any any (flowbits:set,a; priority:9; sid:5;)
pass tcp any any -> any any (sid:6;)
reject tcp any any -> any any (sid:7;)
alert tcp any any -> any any (flowbits:isset,a; flowbits:set,b; sid:8;)
"#;
    let mut set = load(&context(), text);
    let mut sids = |actions: &ActionOrder| {
        order(&mut set.signatures, actions);
        set.signatures.iter().map(|s| s.sid).collect::<Vec<_>>()
    };
    assert_eq!(sids(&ActionOrder::default()), [6, 3, 7, 5, 8, 4, 2, 1]);
    let alerts_first = ActionOrder::from_words(["alert", "reject", "drop", "pass"]).unwrap();
    assert_eq!(sids(&alerts_first), [5, 8, 4, 2, 1, 7, 3, 6]);
    assert!(ActionOrder::from_words(["alert"]).is_err());
    assert!(ActionOrder::from_words(["alert", "alert", "drop", "pass"]).is_err());
}

#[test]
fn bits_are_named_once_over_all_files() {
    let cx = context();
    let mut loader = Loader::new(&cx);
    loader.add(b"alert tcp any any -> any any (flowbits:set,x; sid:1;)", "a");
    loader.add(b"alert tcp any any -> any any (flowbits:isset,y|x; xbits:set,x,track ip_src; sid:2;)", "b");
    let set = loader.finish();
    let StateOp::BitSet { bit, .. } = &set.signatures[0].state[0] else { panic!() };
    let StateOp::BitTest { any_of, .. } = &set.signatures[1].state[0] else { panic!() };
    let StateOp::BitSet { bit: other, .. } = &set.signatures[1].state[1] else { panic!() };
    assert_eq!(any_of[1], *bit);
    assert_ne!(other, bit);
    assert_eq!(set.vars.name(*bit), Some("x"));
}

#[test]
fn unparsed_protocols_are_told_once_each() {
    let text = "alert smtp any any -> any any (content:\"a\"; sid:1;)\nalert smtp any any -> any any (content:\"b\"; sid:2;)\n\
                alert tcp any any -> any any (ssh.software; content:\"c\"; nocase; sid:3;)\n\
                alert tcp any any -> any any (app-layer-event:smtp.bad; sid:4;)";
    let set = load(&context(), text);
    assert_eq!(set.stats.loaded, 4);
    let notes: Vec<_> = set.diagnostics.iter().filter(|d| d.code == Code::Unparsed).collect();
    assert_eq!(notes.len(), 2);
    assert!(notes[0].message.contains("3 rules") || notes[1].message.contains("3 rules"));
    assert!(set.signatures.iter().all(|s| matches!(s.header.proto, RuleProto::Unparsed(_))));
}

#[test]
fn text_of_any_kind_is_survived() {
    let good = br#"alert tcp [1.2.3.4,!$HOME_NET] any -> any [80,!81] (msg:"a\;"; content:"|0d|b"; pcre:"/(?P<flow_x>a)/iR"; byte_test:4,>,5,0; http.uri; dotprefix; content:"x"; sid:1;)"#;
    let mut seed = 0x9e37_79b9u32;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed as usize
    };
    let vocabulary = crate::detect::lang::testing::context().vocabulary;
    for _ in 0..400 {
        let mut text = good.to_vec();
        for _ in 0..1 + random() % 6 {
            let at = random() % text.len();
            match random() % 4 {
                0 => text[at] = b"\";:|()[]!,\\\n\0\xff"[random() % 14],
                1 => drop(text.remove(at)),
                2 => text.insert(at, text[random() % text.len()]),
                _ => text.truncate(at.max(1)),
            }
        }
        fuzz::rule(vocabulary, &text);
    }
}

#[test]
fn a_rule_cut_anywhere_is_no_rule() {
    let whole =
        r#"alert http $HOME_NET any -> any [80,81] (msg:"a\;)"; http.uri; content:"|0d|b)"; pcre:"/a)/R"; sid:1;)"#;
    rule(whole);
    for cut in 1..whole.len() {
        assert!(load(&context(), &whole[..cut]).signatures.is_empty(), "{}", &whole[..cut]);
    }
}

#[test]
fn long_rules_cost_what_they_are_long() {
    let list: Vec<String> = (0..9000).map(|i| format!("10.{}.{}.1", i / 250, i % 250)).collect();
    let s = rule(&format!("alert ip [{}] any -> any any (sid:1;)", list.join(",")));
    assert_eq!(s.header.src.v4.len(), 9000);
    let long = format!("alert tcp any any -> any any (msg:\"{}\"; sid:1;)", "x".repeat(RULE_BYTES_MAX));
    assert_eq!(refused(&long), Code::TooLong);
    assert_eq!(refused("alert tcp any any -> any any (msg:\"\u{1}\"; sid:1;)"), Code::ControlCharacter);
}

#[test]
fn the_manual_knows_every_word() {
    let cx = context();
    let entries = manual(&cx);
    for word in ["content", "http.uri", "to_md5", "flow", "dns.query"] {
        let e = entries.iter().find(|e| e.name == word).unwrap();
        assert!(!e.doc.is_empty() && !e.syntax.is_empty());
    }
    assert!(entries.windows(2).all(|w| w[0].name <= w[1].name));
}
