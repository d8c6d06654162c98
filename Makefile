# What a person types. `make run` shows the product on real traffic; `make test` passes the suite. Both install what they need.

CARGO ?= cargo
RELEASE := $(or $(CARGO_TARGET_DIR),target)/release

.PHONY: run test build setup lint fuzz bench bench-inline soak parity docs

run: setup build ## a real attack among real requests, live between a client and a server in namespaces
	$(CARGO) build -q --release -p stopgap-tests --bin dialogue
	DIALOGUE=$(RELEASE)/dialogue deploy/demo/run $(RELEASE)/stopgap out/demo

test: setup ## the whole suite, ending in a table of what ran and what was skipped
	tests/run

build: ## the program, optimised
	$(CARGO) build --release -p stopgap

setup: ## Debian packages that are missing
	deploy/setup

lint: ## formatting and clippy, warnings denied
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fuzz: setup ## every fuzz target for SECONDS each (60 unless told)
	fuzz/run $${SECONDS_EACH:-60}

bench: build ## speed, memory and load time beside the promises of bench/SPEC.md, over the data of STOPGAP_DATA
	$(CARGO) build --release -p stopgap-bench
	mkdir -p out
	$(RELEASE)/stopgap-bench mix out/mix.pcap
	$(RELEASE)/stopgap-bench load -S $(STOPGAP_DATA)/rules/etopen-2024-04/*.rules
	$(RELEASE)/stopgap-bench throughput --mix out/mix.pcap -S $(STOPGAP_DATA)/rules/etopen-2024-04/*.rules

bench-inline: build ## live between two ports beside the `suricata` of PATH and a bridge; root, and nothing else running
	$(CARGO) build --release -p stopgap-bench
	mkdir -p out
	$(RELEASE)/stopgap-bench mix out/mix.pcap
	$(RELEASE)/stopgap-bench inline --mix out/mix.pcap -S $(STOPGAP_DATA)/rules/etopen-2024-04/*.rules --json out/inline.json

soak: setup build ## 200 reloads under load, then an hour (SECONDS_EACH seconds) of load, noise and reloads between two ports; root
	STOPGAP_BIN=$(abspath $(RELEASE))/stopgap STOPGAP_SOAK_SECONDS=$${SECONDS_EACH:-3600} STOPGAP_RELOADS=200 \
	  $(CARGO) test -p stopgap-tests --test inline -- --nocapture --test-threads 1 soak reloads

parity: build ## parity of alerts, then of inline verdicts, over the captures of STOPGAP_DATA
	$(CARGO) run -q --release -p stopgap-tests --bin parity
	$(CARGO) run -q --release -p stopgap-tests --bin verdicts

docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps --document-private-items
