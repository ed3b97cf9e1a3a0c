# Thin on purpose: what happens is in scripts/, demo/ and bench/.
PREFIX ?= /usr/local
UNITDIR ?= /etc/systemd/system
BINARIES = corten corten-shim corten-runtime
UNITS = corten.service corten.socket

.PHONY: help build test test-vm test-sdk demo bench soak install uninstall clean

help: ## Show this list
	@sed -n 's/^\([a-z-]*\): .*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

build: ## Build the static release programs into bin/
	@scripts/build.sh

test: ## Install what tests need, then format check, lints and all tests (as root)
	@scripts/test.sh

test-vm: ## Run the tests that meet the kernel under Linux 6.1 and Debian's newest, with cgroup v2 and systemd (as root)
	@scripts/test-vm.sh

test-sdk: ## Run what programs do with docker-py, from PyPI, against a daemon of its own (as root)
	@scripts/docker-py.sh

demo: build ## Run a real Redis under Corten, kill the daemon under it, clean up (as root)
	@demo/run.sh

bench: build ## Measure against Docker and Podman, where they are installed (as root)
	@bench/run.sh

soak: build ## Many containers, runs, execs and kills: what takes minutes (as root)
	@bench/soak.sh

install: ## Copy the programs from bin/ to $(PREFIX)/bin, and the systemd units to $(UNITDIR)
	@for name in $(BINARIES); do \
	  test -x "bin/$$name" || { echo "bin/$$name is missing: run 'make build' first" >&2; exit 1; }; done
	@cd bin && install -D -m 755 -t "$(DESTDIR)$(PREFIX)/bin" $(BINARIES)
	@echo "installed in $(DESTDIR)$(PREFIX)/bin: $(BINARIES)"
	@scripts/install-units.sh "$(DESTDIR)" "$(PREFIX)/bin" "$(UNITDIR)" $(UNITS)

uninstall: ## Remove them from there
	@cd "$(DESTDIR)$(PREFIX)/bin" && rm -f $(BINARIES)
	@rm -f $(UNITS:%="$(DESTDIR)$(UNITDIR)/%")

clean: ## Remove everything that was built
	@cargo clean --quiet
	@rm -rf bin
