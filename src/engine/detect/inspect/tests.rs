//! Rules against packets and streams, end to end with a matcher that is obviously right.

use crate::detect::signature::*;
use crate::detect::testkit::*;
use crate::types::Direction::ToServer;

#[test]
fn a_content_split_anywhere_still_matches() {
    let mut s = tcp(1, vec![literal("needle-in-the-hay")]);
    s.buffers[0].ops.push({
        let mut c = content("end");
        c.distance = Some(Value::Const(1));
        c.within = Some(Value::Const(10));
        Op::Content(c)
    });
    let rs = compile(vec![s, tcp(2, vec![literal("hay")]), tcp(3, vec![literal("nope")])], no_protocols());
    let data = b"xxneedle-in-the-hay..end..";
    for cut in 1..data.len() {
        let mut f = TcpFlow::new(&rs);
        let mut got = f.segment(ToServer, &data[..cut]);
        got.extend(f.segment(ToServer, &data[cut..]));
        got.sort();
        assert_eq!(got, [1, 2], "cut at {cut}");
    }
    let mut f = TcpFlow::new(&rs);
    let mut got: Vec<u32> = data.iter().flat_map(|b| f.segment(ToServer, &[*b])).collect();
    got.sort();
    assert_eq!(got, [1, 2]);
}
