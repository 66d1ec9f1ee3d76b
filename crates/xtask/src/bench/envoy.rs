//! Envoy's configuration for each of its protocol proxies.
//!
//! Bodies are passed through where Envoy can, and no limit of its own is in the way.

use super::peers::Peer;

/// A listener with one proxy, and one cluster.
pub(super) fn config(peer: Peer, port: u16, servers: &[u16]) -> String {
    let filter = match peer {
        Peer::EnvoyThrift => THRIFT,
        Peer::EnvoyDubbo => DUBBO,
        Peer::EnvoyGeneric => GENERIC,
        _ => REDIS,
    };
    let policy = if servers.len() > 1 { "RING_HASH" } else { "ROUND_ROBIN" };
    let endpoints: String = servers.iter().map(|server| format!(
        "      - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {server} }} }} }}\n"
    )).collect();
    format!(
        "static_resources:\n  \
           listeners:\n  \
           - name: bench\n    \
             address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}\n    \
             filter_chains:\n    \
             - filters:\n{filter}  \
           clusters:\n  \
           - name: servers\n    \
             type: STATIC\n    \
             connect_timeout: 5s\n    \
             lb_policy: {policy}\n    \
             circuit_breakers: {{ thresholds: [ {{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }} ] }}\n    \
             load_assignment:\n      \
               cluster_name: servers\n      \
               endpoints:\n      \
               - lb_endpoints:\n{indented}",
        indented = endpoints.replace("      - ", "        - "),
    )
}

const THRIFT: &str = "      - name: envoy.filters.network.thrift_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy
          stat_prefix: bench
          transport: FRAMED
          protocol: BINARY
          payload_passthrough: true
          route_config:
            name: routes
            routes:
            - { match: { method_name: reserve }, route: { cluster: servers } }
            - { match: { method_name: echo }, route: { cluster: servers } }
          thrift_filters:
          - name: envoy.filters.thrift.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.router.v3.Router
";

const DUBBO: &str = "      - name: envoy.filters.network.dubbo_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy
          stat_prefix: bench
          protocol_type: Dubbo
          serialization_type: Hessian2
          route_config:
          - name: routes
            interface: org.heptad.Echo
            routes:
            - { match: { method: { name: { exact: reserve } } }, route: { cluster: servers } }
            - { match: { method: { name: { exact: echo } } }, route: { cluster: servers } }
          dubbo_filters:
          - name: envoy.filters.dubbo.router
            config:
              '@type': type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.router.v3.Router
";

const GENERIC: &str = "      - name: envoy.filters.network.generic_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.generic_proxy.v3.GenericProxy
          stat_prefix: bench
          codec_config:
            name: envoy.generic_proxy.codecs.dubbo
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.network.generic_proxy.codecs.dubbo.v3.DubboCodecConfig
          route_config:
            name: routes
            virtual_hosts:
            - name: all
              hosts: [ '*' ]
              routes:
                matcher_list:
                  matchers:
                  - predicate:
                      single_predicate:
                        input:
                          name: envoy.matching.generic_proxy.input.method
                          typed_config:
                            '@type': type.googleapis.com/envoy.extensions.filters.network.generic_proxy.matcher.v3.MethodMatchInput
                        value_match: { exact: echo }
                    on_match:
                      action:
                        name: route
                        typed_config:
                          '@type': type.googleapis.com/envoy.extensions.filters.network.generic_proxy.action.v3.RouteAction
                          cluster: servers
          filters:
          - name: envoy.filters.generic.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.network.generic_proxy.router.v3.Router
";

const REDIS: &str = "      - name: envoy.filters.network.redis_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: bench
          settings: { op_timeout: 15s }
          prefix_routes: { catch_all_route: { cluster: servers } }
";
