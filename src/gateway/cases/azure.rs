//! The manifests of Azure's guide to WebSockets, as they are written there: they serve, and what is
//! only Azure's is left aside.

use std::collections::HashSet;
use std::time::Duration;

use super::super::objects::Kind;
use super::asked::ask;
use super::served::lower;
use super::{addresses, compile, conditions};
use crate::config::model::{Check, Expected, Origin};
use crate::config::objects::{check, with};

const MANAGED: &str = "    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata:
      name: gateway-01
      namespace: test-infra
      annotations:
        alb.networking.azure.io/alb-namespace: alb-test-infra
        alb.networking.azure.io/alb-name: alb-test
    spec:
      gatewayClassName: azure-alb-external
      listeners:
      - name: http-listener
        port: 80
        protocol: HTTP
        allowedRoutes:
          namespaces:
            from: Same
";

const BRING_YOUR_OWN: &str = "    apiVersion: gateway.networking.k8s.io/v1
    kind: Gateway
    metadata:
      name: gateway-01
      namespace: test-infra
      annotations:
        alb.networking.azure.io/alb-id: $RESOURCE_ID
    spec:
      gatewayClassName: azure-alb-external
      listeners:
      - name: http-listener
        port: 80
        protocol: HTTP
        allowedRoutes:
          namespaces:
            from: Same
      addresses:
      - type: alb.networking.azure.io/alb-frontend
        value: $FRONTEND_NAME
";

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: websocket-example
  namespace: test-infra
spec:
  parentRefs:
  - name: gateway-01
  hostnames:
  - \"contoso.com\"
  rules:
    - backendRefs:
        - name: websocket-backend
          port: 8080
";

const HEALTH: &str = "apiVersion: alb.networking.azure.io/v1
kind: HealthCheckPolicy
metadata:
  name: websockets-backend-health-check-policy
  namespace: test-infra
spec:
  targetRef:
    group: \"\"
    kind: Service
    name: websocket-backend
    namespace: test-infra
  default:
    interval: 5s
    timeout: 3s
    healthyThreshold: 1
    unhealthyThreshold: 1
    http:
      path: /health \n";

/// What the deployment of the guide brings, as far as it is not Pods.
const DEPLOYMENT: &str = "apiVersion: v1
kind: Namespace
metadata:
  name: test-infra
---
apiVersion: v1
kind: Service
metadata:
  name: websocket-backend
  namespace: test-infra
spec:
  selector:
    app: websocket-backend
  ports:
  - protocol: TCP
    port: 8080
    targetPort: 8080
---
apiVersion: v1
kind: Endpoints
metadata:
  name: websocket-backend
  namespace: test-infra
subsets:
- addresses:
  - ip: 10.0.0.7
  ports:
  - port: 8080
";

#[test]
fn the_manifests_of_the_guide_serve_as_they_are() {
    for gateway in [MANAGED, BRING_YOUR_OWN] {
        let compiled = compile(&[gateway, ROUTE, HEALTH, DEPLOYMENT]);
        assert_eq!(ask(&compiled, "contoso.com/chat"), "websocket-backend");
        assert_eq!(ask(&compiled, "other.com/chat"), "404");
        let gateway = conditions(&compiled, Kind::Gateway, "test-infra/gateway-01");
        assert_eq!(
            gateway[0],
            "Accepted=True/Accepted Programmed=True/Programmed"
        );
        assert!(
            gateway[1].starts_with("http-listener [HTTPRoute] 1:"),
            "{gateway:?}"
        );
        assert_eq!(addresses(&compiled, "test-infra/gateway-01").len(), 1);
        assert_eq!(
            conditions(&compiled, Kind::HttpRoute, "test-infra/websocket-example"),
            ["Accepted=True/Accepted ResolvedRefs=True/ResolvedRefs"]
        );
        let name = "test-infra/websockets-backend-health-check-policy";
        let policy = conditions(&compiled, Kind::HealthCheckPolicy, name);
        assert_eq!(policy, ["Accepted=True/Accepted"]);
        let told = format!("{:?}", compiled.statuses);
        assert!(told.contains("Valid HealthCheckPolicy"), "{told}");
    }
}

#[test]
fn the_thresholds_of_the_guide_take_effect() {
    let lowered = lower(&compile(&[MANAGED, ROUTE, HEALTH, DEPLOYMENT]));
    let [group] = &lowered.target_groups[..] else {
        panic!("{:?}", lowered.target_groups);
    };
    assert_eq!(group.name, "test-infra/websocket-backend:8080");
    let health = &group.health_check;
    assert_eq!(health.check_interval, Duration::from_secs(5));
    assert_eq!(health.check_timeout, Duration::from_secs(3));
    assert_eq!(
        (health.healthy_threshold, health.unhealthy_threshold),
        (1, 1)
    );
    let Check::Http(check) = &health.check else {
        panic!("{health:?}");
    };
    assert_eq!(check.path, "/health");
    assert!(matches!(&check.expected, Expected::Status(codes) if codes == &[200..=399]));
    assert!(
        group
            .targets
            .iter()
            .all(|target| target.health_check_enabled)
    );
    let lowered = lower(&compile(&[MANAGED, ROUTE, DEPLOYMENT]));
    let targets = &lowered.target_groups[0].targets;
    assert!(!targets[0].health_check_enabled, "what is ready is healthy");
}

#[test]
fn without_its_service_a_route_is_told_so_and_answers_500() {
    let compiled = compile(&[MANAGED, ROUTE, HEALTH]);
    assert_eq!(ask(&compiled, "contoso.com/chat"), "500");
    assert_eq!(
        conditions(&compiled, Kind::HttpRoute, "test-infra/websocket-example"),
        ["Accepted=True/Accepted ResolvedRefs=False/BackendNotFound"]
    );
    let name = "test-infra/websockets-backend-health-check-policy";
    assert_eq!(
        conditions(&compiled, Kind::HealthCheckPolicy, name),
        ["Accepted=False/InvalidServiceReference"]
    );
}

#[test]
fn what_serves_is_a_configuration_that_goes_together() {
    let file = "forwardingRules:\n- {name: own, protocol: HTTP, listenerIp: 127.0.0.1, \
                listenerPort: 8081, httpRules: []}";
    let file = crate::config::parse("edge.yaml", file).unwrap().config;
    let lowered = lower(&compile(&[MANAGED, ROUTE, HEALTH, DEPLOYMENT]));
    let config = with(&file, Origin::Gateway, lowered);
    check(&config).unwrap();
    let names: HashSet<_> = config.forwarding_rules[1]
        .http_rules
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    assert!(
        names.contains("test-infra/websocket-example/0"),
        "{names:?}"
    );
}
