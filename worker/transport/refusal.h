#pragma once  // worker/transport/refusal.h: why a data connection is refused: one enum for wire, metric and
              // log. Pure
#include <array>
#include <cstdint>
#include <string_view>

namespace muster::worker {

enum class Refusal : std::uint32_t {
  kGarbage = 1,  // not the bytes of a worker
  kVersion,
  kJob,
  kMembership,
  kRank,
  kProof,
  kTls,  // no handshake with the membership's key
  kTimeout,
  kClosed,
  kCrowded,  // it made room for a newer one
  kTaken,
};
inline constexpr std::array kRefusals{Refusal::kGarbage,    Refusal::kVersion, Refusal::kJob,
                                      Refusal::kMembership, Refusal::kRank,    Refusal::kProof,
                                      Refusal::kTls,        Refusal::kTimeout, Refusal::kClosed,
                                      Refusal::kCrowded,    Refusal::kTaken};

// The value of label `reason` of muster_data_connections_refused_total.
[[nodiscard]] constexpr std::string_view label_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::kGarbage: return "garbage";
    case Refusal::kVersion: return "version";
    case Refusal::kJob: return "job";
    case Refusal::kMembership: return "membership";
    case Refusal::kRank: return "rank";
    case Refusal::kProof: return "proof";
    case Refusal::kTls: return "tls";
    case Refusal::kTimeout: return "timeout";
    case Refusal::kClosed: return "closed";
    case Refusal::kCrowded: return "crowded";
    case Refusal::kTaken: return "taken";
  }
  return "unknown";
}

// For people; "the caller" is the end that dialled.
[[nodiscard]] constexpr std::string_view sentence_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::kGarbage: return "its bytes are not those of a worker";
    case Refusal::kVersion:
      return "the caller speaks another version of the data protocol; use one image for all workers";
    case Refusal::kJob: return "the caller belongs to another job";
    case Refusal::kMembership: return "the caller is of another membership";
    case Refusal::kRank: return "the caller is not the rank that is expected";
    case Refusal::kProof: return "its proof of membership is wrong";
    case Refusal::kTls:
      return "no TLS handshake with the membership's key: it has another, or does not encrypt";
    case Refusal::kTimeout: return "it did not prove its membership within 5 s";
    case Refusal::kClosed: return "it hung up";
    case Refusal::kCrowded: return "too many connections waited, and it was the oldest";
    case Refusal::kTaken: return "its place is taken";
  }
  return "for no known reason";
}

}  // namespace muster::worker
