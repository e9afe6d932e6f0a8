# A short way to say what CMake does. `make help` lists the words.
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
ONLY ?=
export ONLY

BUILD = cmake --build --preset $(1) -j $(JOBS)
CONFIGURED = build/$(1)/build.ninja

.PHONY: all help setup run test debug asan tsan fuzz lint bench install package clean
.DEFAULT_GOAL := all

all: $(call CONFIGURED,release) ## build/pelayan: what users run
	@$(call BUILD,release)

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' Makefile

build/%/build.ninja: | setup
	@cmake --preset $* >build/.configure.log 2>&1 || { cat build/.configure.log; exit 1; }

setup: ## install what is missing (Debian packages)
	@mkdir -p build && tools/setup build test

run: ## two sample apps behind http://hello.localhost:8080/
	@tools/run-sample

test: ## everything that must hold; ONLY=word runs what matches
	@tools/test release

debug: $(call CONFIGURED,debug) ## build/debug/pelayan, for gdb
	@$(call BUILD,debug)

asan: ## the whole suite under AddressSanitizer and UBSan
	@tools/test asan

tsan: ## unit tests and a smoke of the rest under ThreadSanitizer
	@tools/test tsan

fuzz: ## every fuzz target for FUZZ_SECONDS (5) each
	@tools/fuzz

lint: ## clang-format, clang-tidy, cppcheck
	@tools/lint

bench: all ## see bench/README.md
	@bench/run

install: $(call CONFIGURED,release) ## to DESTDIR and PREFIX (/usr/local)
	@cmake -DCMAKE_INSTALL_PREFIX=$(PREFIX) build/release >/dev/null
	@$(call BUILD,release)
	@DESTDIR=$(DESTDIR) cmake --install build/release

package: ## build/pelayan_VERSION_ARCH.deb
	@tools/package

clean: ## remove build/
	@rm -rf build
