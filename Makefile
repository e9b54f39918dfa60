# Two commands for a newcomer: `make demo` shows what portlid does, `make test` checks this repository.
.PHONY: help demo test engine chaos accuracy steady matrix fuzz bench
.DEFAULT_GOAL := help

help: ## List these targets
	@sed -n 's/^\([a-z]*\):[^\#]*\#\# /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

demo: ## Watch real images pass and a leaky one get caught (sets up all it needs)
	@.ci/demo

test: engine ## Check everything: formatting, lints, documentation, all tests
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo clippy --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --all-features
	.ci/nothing-left remember target/before-the-tests
	PORTLID_BUILD_NETWORK="$$(.ci/build-network)" cargo test --locked --all-features
	.ci/nothing-left check target/before-the-tests

chaos: engine ## Kill N runs at random moments, and make sure that nothing is left
	CHAOS_N=$(or $(N),200) cargo test --locked --test it -- chaos

# One of them or more: make accuracy N=1000 SEED=7 LOOK=scout NOFILE=256 BUSY=1 JOBS=4
accuracy: engine ## Hold random sets of sockets against what portlid says (N=50, LOOK=here|scout)
	PORTLID_ACCURACY_N=$(N) PORTLID_ACCURACY_SEED=$(SEED) PORTLID_ACCURACY_LOOK=$(LOOK) \
	PORTLID_ACCURACY_NOFILE=$(NOFILE) PORTLID_ACCURACY_BUSY=$(BUSY) PORTLID_ACCURACY_JOBS=$(JOBS) \
	cargo test --locked --test it accuracy::no_socket -- --nocapture

steady: engine ## Look at one image again and again: the same verdict each time (RUNS=200)
	PORTLID_ACCURACY_RUNS=$(or $(RUNS),200) cargo test --locked --test it accuracy::steady -- --nocapture

matrix: ## Run the integration suite against every engine that is there, and print a table
	@.ci/matrix

fuzz: ## Feed rubbish to every parser, each for T seconds (default 60); needs `cargo install cargo-fuzz`
	@# Without a sanitizer for memory: there is no unsafe code. cargo-fuzz needs flags of a nightly compiler.
	RUSTC_BOOTSTRAP=1 cargo fuzz build --sanitizer none
	@mkdir -p fuzz/target/found
	@for target in $$(RUSTC_BOOTSTRAP=1 cargo fuzz list); do \
		echo "fuzz: $$target"; mkdir -p "fuzz/target/found/$$target"; \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none "$$target" "fuzz/target/found/$$target" "fuzz/corpus/$$target" \
			-- -max_total_time=$(or $(T),60) -max_len=16384 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1 || exit 1; \
	done

# One row of it or more: make bench ROWS=a,c N=5
bench: ## Measure portlid beside what else one could use, and print a table (N=15, ROWS=abcdefg)
	@PORTLID_BENCH_ROWS=$(ROWS) PORTLID_BENCH_N=$(N) .ci/bench

engine: ## Make sure of a container engine and the base image, and nothing else
	@.ci/base-image
