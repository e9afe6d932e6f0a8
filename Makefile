# A short way to say what CMake does. `make help` lists the words.
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
ONLY ?=
export ONLY

export JOBS

.PHONY: all help setup run test story debug asan tsan fuzz soak attacks reproducible lint analyze format bench bench-check install package clean
.DEFAULT_GOAL := all

all: ## build/pelayan: what users run
	@tools/setup build
	@tools/build release

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: ## install what is missing (Debian packages)
	@tools/setup build test lint fuzz run

run: ## two sample apps behind http://hello.localhost:8080/
	@tools/run-sample

test: ## everything that must hold; ONLY=word runs what matches
	@tools/test release

story: ## slow: real apps, a real browser, deaths and reloads under load for minutes
	@tools/story

debug: ## build/debug/pelayan, for gdb
	@tools/setup build
	@tools/build debug

asan: ## the whole suite under AddressSanitizer and UBSan
	@tools/test asan

tsan: ## unit tests and a smoke of the rest under ThreadSanitizer
	@tools/test tsan

fuzz: ## every fuzz target for FUZZ_SECONDS (5) each
	@tools/fuzz

soak: all ## everything at once for SOAK_SECONDS (600): leaks, lost requests
	@tools/setup test
	@/usr/bin/python3 tests/soak/run.py

attacks: all ## what a polite client notices of each attack: its p99 with and without
	@/usr/bin/python3 tests/soak/attacks.py

reproducible: ## two builds in different folders give the same program
	@tools/reproducible

lint: ## clang-format, clang-tidy, cppcheck
	@tools/lint

analyze: ## gcc -fanalyzer
	@tools/analyze

format: ## let clang-format have its way
	@find src tests bench -name '*.[ch]' -print0 | xargs -0 clang-format -i

bench: all ## beside nginx, haproxy, h2o; QUICK=1 is short; see bench/README.md
	@bench/run $(BENCH)

bench-check: all ## is anything 5% slower than bench/baseline.json says?
	@bench/run --check $(BENCH)

install: all ## to DESTDIR and PREFIX (/usr/local)
	@cmake -DCMAKE_INSTALL_PREFIX=$(PREFIX) build/release >/dev/null
	@tools/build release
	@DESTDIR=$(DESTDIR) cmake --install build/release

package: ## build/pelayan_VERSION_ARCH.deb, and pelayan-dbgsym_* with its symbols
	@tools/package

clean: ## remove build/
	@rm -rf build
