#!/usr/bin/env bash
# Writes go.mod and go.sum for a version of Kubernetes and one of the Gateway API: derive.sh v1.37.2 v1.6.3 v0.25.2
#
# The published go.mod of k8s.io/kubernetes asks for the modules of its own repository at v0.0.0, and replaces each by a folder that is
# not published. They are published as modules of their own, v0.X.Y for v1.X.Y; its replacements name them all. The third version is
# that of controller-runtime for this Kubernetes, which the conformance suite needs.
set -euo pipefail
cd "$(dirname "$0")"
kubernetes=$1 gateway_api=$2 controller_runtime=$3
siblings=v0.${kubernetes#v1.}
published=$(cd / && go mod download -json "k8s.io/kubernetes@$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)",/\1/p')
{
	echo 'module culvert/tests/kubernetes'
	grep -E '^(go|godebug) ' "$published"
	awk '/^require \(/, /^\)/' "$published" | sed "s/ v0\.0\.0\( \|$\)/ $siblings\1/"
	printf 'require %s\n' "k8s.io/kubernetes $kubernetes" "sigs.k8s.io/gateway-api $gateway_api" \
		"sigs.k8s.io/gateway-api/conformance $gateway_api" "sigs.k8s.io/controller-runtime $controller_runtime"
	awk -v version="$siblings" '$2 == "=>" && $3 ~ /^\.\/staging/ { print "replace", $1, "=>", $1, version }' "$published"
} > go.mod
rm -f go.sum
export GOFLAGS="-mod=mod -buildvcs=false"
go list -deps . > /dev/null
go list -deps -test sigs.k8s.io/gateway-api/conformance > /dev/null
