// SPDX-License-Identifier: Apache-2.0
// What the kernel does by itself on the ports of a pair: hands frames to the engine while it answers, forwards or drops
// them while it does not, and never depends on a process to keep the wire.
//
// One copy of program and maps serves one pair. The maps' layouts are mirrored in layout.rs; change both. Counters are
// numbered there too. Everything read from a frame is checked against its end; what is not understood goes to the engine.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

// Not among the kernel's own (IEEE 802.1BR, VN-Tag, Cisco's fabric).
#define ETH_P_BR 0x893f
#define ETH_P_VNTAG 0x8926
#define ETH_P_DCE 0x8903

#define WORKERS_MAX 64
#define QUEUES_MAX 64
#define FLOWS_MAX 131072
#define TRUSTED_MAX 4096
// A bypassed flow shows itself to the engine so often, so that it is not forgotten there.
#define SHOW_NS 10000000000ULL

enum policy { POLICY_OPEN = 0, POLICY_CLOSED = 1 };
enum flow_action { FLOW_BYPASS = 0, FLOW_DROP = 1, FLOW_BYPASS_UNTIL = 2 };
enum l2_action { L2_THROUGH = 0, L2_DROP = 1, L2_INSPECT = 2 };

enum count {
	COUNT_RECEIVED, COUNT_RECEIVED_BYTES, COUNT_HANDED, COUNT_LINK_THROUGH, COUNT_LINK_DROPPED, COUNT_UNREADY_FORWARDED,
	COUNT_UNREADY_DROPPED, COUNT_STALE_FORWARDED, COUNT_STALE_DROPPED, COUNT_FULL_FORWARDED, COUNT_FULL_DROPPED,
	COUNT_SOCKETLESS_FORWARDED, COUNT_SOCKETLESS_DROPPED, COUNT_BYPASS_FORWARDED, COUNT_FLOW_FORWARDED,
	COUNT_FLOW_FORWARDED_BYTES, COUNT_FLOW_DROPPED, COUNT_TRUSTED_FORWARDED, COUNTS,
};

struct settings {
	__u64 stale_ns;		// a beat older than this is stale
	__u64 epoch;		// flow entries of another one are void
	__u32 ring_limit;	// frames a worker may have waiting
	__u32 workers;
	__u32 fail;		// enum policy while the engine does not answer
	__u32 unready;		// enum policy before it first does
	__u32 ready;
	__u32 bypass;		// the operator's: everything through while odd
	__u32 to_stack;		// hand over to packet sockets behind us instead of AF_XDP ones
	__u32 trusted;		// the table of trusted networks has entries
	__u32 ifindex[2];
	__u32 full;		// enum policy for what a worker has no room for
	__u32 zero;
};

struct worker {
	__u64 beat_ns;		// CLOCK_MONOTONIC, written by the worker after each batch
	__u64 consumed;		// frames it took, or that its sockets lost
	__u64 apart[6];
	__u64 handed;		// frames given to it
	__u64 apart2[7];
};

struct flow_key {
	__u8 src[16];
	__u8 dst[16];
	__be16 sport;
	__be16 dport;
	__u16 vlan[2];
	__u8 proto;
	__u8 port;		// of the pair, where the frame came in
	__u8 v6;
	__u8 zero;
};

struct flow {
	__u64 epoch;
	__u64 shown_ns;
	__u64 frames;
	__u64 bytes;
	__u32 action;
	__u32 until;		// TCP sequence at which a bounded bypass ends
};

struct trusted_key {
	__u32 prefix;
	__u8 addr[16];		// IPv4 as ::ffff:a.b.c.d
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WORKERS_MAX);
	__type(key, __u32);
	__type(value, struct worker);
} workers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 2 * QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct bpf_devmap_val);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FLOWS_MAX);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	// Those of before and those of after lie beside each other while one takes the other's place.
	__uint(max_entries, 2 * TRUSTED_MAX);
	__type(key, struct trusted_key);
	__type(value, __u32);
} trusted SEC(".maps");

// What becomes of frames that are not IP, by class (enum in layout.rs).
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} links SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct vlan_header {
	__be16 tci;
	__be16 type;
};

struct tcp_head {
	__be16 sport, dport;
	__be32 seq, ack;
	__u8 offset, flags;
};

static __always_inline void count(__u32 port, __u32 which, __u64 n)
{
	__u32 key = port * COUNTS + which;
	__u64 *c = bpf_map_lookup_elem(&counts, &key);
	if (c)
		*c += n;
}

static __always_inline int forward(__u32 port)
{
	return bpf_redirect_map(&ports, port ^ 1, 0);
}

static __always_inline int by_policy(__u32 port, __u32 policy, __u32 forwarded)
{
	// The count of a drop follows that of its forwarding.
	if (policy == POLICY_OPEN) {
		count(port, forwarded, 1);
		return forward(port);
	}
	count(port, forwarded + 1, 1);
	return XDP_DROP;
}

// Classes of frames that are no IP; numbers as in layout.rs.
enum link_class {
	LINK_IP, LINK_ARP, LINK_LLDP, LINK_SLOW, LINK_STP, LINK_EAPOL, LINK_PTP, LINK_PAUSE, LINK_MPLS, LINK_PPPOE,
	LINK_LLC, LINK_UNKNOWN,
};

// 802.2 SNAP with an EtherType (RFC 1042, or the bridge tunnel's), which hosts take IP from.
static __always_inline int is_snap(const void *at, const void *end)
{
	const __u8 *llc = at;
	if (at + 8 > end)
		return 0;
	return llc[0] == 0xaa && llc[1] == 0xaa && llc[2] == 3 && !(llc[3] | llc[4]) && (!llc[5] || llc[5] == 0xf8);
}

static __always_inline __u32 class_of(__u16 type, const struct ethhdr *eth, const void *at, const void *end)
{
	switch (type) {
	case ETH_P_IP: case ETH_P_IPV6: return LINK_IP;
	// Other tags and wrappings that carry frames or IP.
	case ETH_P_QINQ1: case ETH_P_8021AH: case ETH_P_VNTAG: case ETH_P_BR: case ETH_P_DCE: case ETH_P_NSH: return LINK_IP;
	case ETH_P_ARP: case ETH_P_RARP: return LINK_ARP;
	case ETH_P_LLDP: return LINK_LLDP;
	case ETH_P_SLOW: return LINK_SLOW;
	case ETH_P_PAE: return LINK_EAPOL;
	case ETH_P_1588: return LINK_PTP;
	case ETH_P_PAUSE: return LINK_PAUSE;
	case ETH_P_MPLS_UC: case ETH_P_MPLS_MC: return LINK_MPLS;
	case ETH_P_PPP_DISC: case ETH_P_PPP_SES: return LINK_PPPOE;
	}
	if (type < 1536) {
		if (is_snap(at, end))
			return LINK_IP;
		// 01:80:c2:00:00:00, the address of bridges.
		const __u8 *d = eth->h_dest;
		int bridges = d[0] == 0x01 && d[1] == 0x80 && d[2] == 0xc2 && !(d[3] | d[4] | d[5]);
		return bridges ? LINK_STP : LINK_LLC;
	}
	return LINK_UNKNOWN;
}

struct found {
	struct flow_key key;
	__u32 seq_end;
	__u8 tcp_flags;
	__u8 whole;		// the key is complete: the flow may be looked up
	__u8 ip;
};

static __always_inline void map_v4(__u8 *to, const __u8 *addr)
{
	to[10] = 0xff;
	to[11] = 0xff;
	__builtin_memcpy(to + 12, addr, 4);
}

// Reads the tuple. Fragments, options of IPv6 and protocols without ports leave it not whole.
static __always_inline void tuple(struct found *f, void *at, void *end, __u16 type)
{
	__u8 *ip = at;
	__u32 payload;
	if (type == ETH_P_IP) {
		if (at + 20 > end || ip[0] >> 4 != 4)
			return;
		__u32 header = (ip[0] & 15) * 4;
		__u32 total = ip[2] << 8 | ip[3];
		if (header < 20 || total < header)
			return;
		map_v4(f->key.src, ip + 12);
		map_v4(f->key.dst, ip + 16);
		f->ip = 1;
		f->key.proto = ip[9];
		if ((ip[6] & 0x3f) | ip[7])
			return;
		payload = total - header;
		at += header;
	} else if (type == ETH_P_IPV6) {
		if (at + 40 > end || ip[0] >> 4 != 6)
			return;
		__builtin_memcpy(f->key.src, ip + 8, 16);
		__builtin_memcpy(f->key.dst, ip + 24, 16);
		f->ip = 1;
		f->key.v6 = 1;
		f->key.proto = ip[6];
		payload = ip[4] << 8 | ip[5];
		at += 40;
	} else {
		// Behind more tags than are looked through.
		return;
	}
	if (f->key.proto == IPPROTO_TCP) {
		struct tcp_head *tcp = at;
		if ((void *)tcp + 20 > end)
			return;
		__u32 header = (tcp->offset >> 4) * 4;
		if (header < 20 || header > payload)
			return;
		f->key.sport = tcp->sport;
		f->key.dport = tcp->dport;
		f->tcp_flags = tcp->flags;
		f->seq_end = bpf_ntohl(tcp->seq) + payload - header;
		f->whole = 1;
	} else if (f->key.proto == IPPROTO_UDP) {
		struct { __be16 sport, dport; __be32 rest; } *udp = at;
		if ((void *)(udp + 1) > end)
			return;
		f->key.sport = udp->sport;
		f->key.dport = udp->dport;
		f->whole = 1;
	}
}

#define TCP_ENDS 0x07 // FIN, SYN, RST
#define TCP_URGENT 0x20

// No ruleset's: an entry that is over, whose counts are still to be read.
#define EPOCH_OVER 0

// The verdict of the table of flows: an XDP action, or -1 to go on.
static __always_inline int known_flow(struct found *f, __u32 port, __u64 epoch, __u64 now, __u32 len)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &f->key);
	if (!flow)
		return -1;
	if (flow->epoch != epoch)
		return -1;
	if (flow->action == FLOW_DROP) {
		// A new connection of the same ports is another flow.
		if (f->key.proto == IPPROTO_TCP && (f->tcp_flags & 0x12) == 0x02) {
			flow->epoch = EPOCH_OVER;
			return -1;
		}
		if (now - flow->shown_ns > SHOW_NS) {
			flow->shown_ns = now;
			return -1;
		}
		__sync_fetch_and_add(&flow->frames, 1);
		__sync_fetch_and_add(&flow->bytes, len);
		count(port, COUNT_FLOW_DROPPED, 1);
		return XDP_DROP;
	}
	if (f->key.proto == IPPROTO_TCP && f->tcp_flags & TCP_ENDS) {
		flow->epoch = EPOCH_OVER;
		return -1;
	}
	// Urgent bytes shift what the sequence number means.
	if (flow->action == FLOW_BYPASS_UNTIL &&
	    ((__s32)(f->seq_end - flow->until) > 0 || f->tcp_flags & TCP_URGENT)) {
		flow->epoch = EPOCH_OVER;
		return -1;
	}
	if (now - flow->shown_ns > SHOW_NS) {
		flow->shown_ns = now;
		return -1;
	}
	__sync_fetch_and_add(&flow->frames, 1);
	__sync_fetch_and_add(&flow->bytes, len);
	count(port, COUNT_FLOW_FORWARDED, 1);
	count(port, COUNT_FLOW_FORWARDED_BYTES, len);
	return forward(port);
}

static __always_inline int is_trusted(const __u8 *addr)
{
	struct trusted_key key = { .prefix = 128 };
	__builtin_memcpy(key.addr, addr, 16);
	return bpf_map_lookup_elem(&trusted, &key) != 0;
}

SEC("xdp")
int stopgap_bump(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	struct settings *s = bpf_map_lookup_elem(&settings, &zero);
	if (!s)
		return XDP_PASS;
	__u32 port;
	if (ctx->ingress_ifindex == s->ifindex[0])
		port = 0;
	else if (ctx->ingress_ifindex == s->ifindex[1])
		port = 1;
	else
		return XDP_PASS;
	struct ethhdr *eth = data;
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	__u32 len = end - data;
	count(port, COUNT_RECEIVED, 1);
	count(port, COUNT_RECEIVED_BYTES, len);

	struct found f = {};
	f.key.port = port;
	void *at = eth + 1;
	__u16 type = bpf_ntohs(eth->h_proto);
#pragma unroll
	for (int i = 0; i < 2; i++) {
		struct vlan_header *v = at;
		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
		if ((void *)(v + 1) > end)
			break;
		f.key.vlan[i] = bpf_ntohs(v->tci) & 0x0fff;
		// A priority tag names no VLAN, but stands for one here.
		f.key.vlan[i] |= 0x8000;
		type = bpf_ntohs(v->type);
		at = v + 1;
	}
	__u32 class = type == ETH_P_8021Q || type == ETH_P_8021AD ? LINK_IP : class_of(type, eth, at, end);
	if (s->bypass & 1) {
		count(port, COUNT_BYPASS_FORWARDED, 1);
		return forward(port);
	}
	if (class != LINK_IP) {
		__u32 *what = bpf_map_lookup_elem(&links, &class);
		__u32 action = what ? *what : L2_THROUGH;
		if (action == L2_DROP) {
			count(port, COUNT_LINK_DROPPED, 1);
			return XDP_DROP;
		}
		if (action == L2_THROUGH) {
			count(port, COUNT_LINK_THROUGH, 1);
			return forward(port);
		}
	} else {
		tuple(&f, at, end, type);
	}
	// Before the table of flows: one that was to be dropped before its network was trusted is no exception.
	if (s->trusted && f.ip && (is_trusted(f.key.src) || is_trusted(f.key.dst))) {
		count(port, COUNT_TRUSTED_FORWARDED, 1);
		return forward(port);
	}
	__u64 now = bpf_ktime_get_ns();
	if (f.whole) {
		int verdict = known_flow(&f, port, s->epoch, now, len);
		if (verdict >= 0)
			return verdict;
	}
	if (!s->ready)
		return by_policy(port, s->unready, COUNT_UNREADY_FORWARDED);
	__u32 queue = ctx->rx_queue_index;
	__u32 number = s->workers ? queue % s->workers : 0;
	struct worker *w = bpf_map_lookup_elem(&workers, &number);
	if (!w)
		return by_policy(port, s->fail, COUNT_SOCKETLESS_FORWARDED);
	// Later than now if it beat meanwhile.
	if ((__s64)(now - w->beat_ns) > (__s64)s->stale_ns)
		return by_policy(port, s->fail, COUNT_STALE_FORWARDED);
	if ((__s64)(w->handed - w->consumed) > (__s64)s->ring_limit)
		return by_policy(port, s->full, COUNT_FULL_FORWARDED);
	if (s->to_stack) {
		__sync_fetch_and_add(&w->handed, 1);
		count(port, COUNT_HANDED, 1);
		return XDP_PASS;
	}
	__u32 slot = port * QUEUES_MAX + (queue < QUEUES_MAX ? queue : QUEUES_MAX - 1);
	// A socket that has gone leaves its slot empty.
	if (queue >= QUEUES_MAX || !bpf_map_lookup_elem(&sockets, &slot))
		return by_policy(port, s->fail, COUNT_SOCKETLESS_FORWARDED);
	__sync_fetch_and_add(&w->handed, 1);
	count(port, COUNT_HANDED, 1);
	return bpf_redirect_map(&sockets, slot, XDP_DROP);
}

char _license[] SEC("license") = "Apache-2.0";
