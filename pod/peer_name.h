#pragma once  // pod/peer_name.h: whom a certificate of Muster's authority names. Pure
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace muster {

// The operator, or the pod `index` of `role` of the object with `uid`. Which clients a client pod plays
// follows from its index; membership is proved by a key, since it changes while a certificate stays.
struct PeerName {
  std::string role;  // operator, worker, server, aggregator, client
  std::int64_t index = 0;
  std::string uid;  // empty: the operator's

  [[nodiscard]] bool is_operator() const { return uid.empty() && role == "operator"; }
  friend bool operator==(const PeerName&, const PeerName&) = default;
};

[[nodiscard]] PeerName operator_name();

// "operator.muster.dev", "worker-3.<uid>.muster.dev": the certificate's only subject alternative name (DNS).
[[nodiscard]] std::string dns_name(const PeerName& name);
// nullopt: not in that form.
[[nodiscard]] std::optional<PeerName> parse_dns_name(std::string_view dns);

}  // namespace muster
