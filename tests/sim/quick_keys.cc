// tests/sim/quick_keys.cc: keys that cost nothing: real ones are most of a life
//
// The linker leads calls of Authority::issue(name, now) and Issuer::load here: --wrap, see CMakeLists.txt.
#include <map>

#include "common/crypto/x509.h"
#include "operator/control/issuer.h"
#include "pod/peer_name.h"

namespace muster::sim {

Result<KeyPair> real_issue(const Authority* authority, const std::string& dns_name, WallTime now) __asm__(
    "__real__ZNK6muster9Authority5issueERKNSt7__cxx1112basic_stringIcSt11char_"
    "traitsIcESaIcEEENSt6chrono10time_pointINS9_3_V212system_clockENS9_"
    "8durationIlSt5ratioILl1ELl1000000000EEEEEE");
Result<KeyPair> quick_issue(const Authority* authority, const std::string& dns_name, WallTime now) __asm__(
    "__wrap__ZNK6muster9Authority5issueERKNSt7__cxx1112basic_stringIcSt11char_"
    "traitsIcESaIcEEENSt6chrono10time_pointINS9_3_V212system_clockENS9_"
    "8durationIlSt5ratioILl1ELl1000000000EEEEEE");
Result<op::Issuer> real_load(const op::Issuer::Secrets& secrets, WallTime now) __asm__(
    "__real__ZN6muster2op6Issuer4loadERKNS1_7SecretsENSt6chrono10time_pointINS5_3_V212system_clockENS5_"
    "8durationIlSt5ratioILl1ELl1000000000EEEEEE");
Result<op::Issuer> quick_load(const op::Issuer::Secrets& secrets, WallTime now) __asm__(
    "__wrap__ZN6muster2op6Issuer4loadERKNS1_7SecretsENSt6chrono10time_pointINS5_3_V212system_clockENS5_"
    "8durationIlSt5ratioILl1ELl1000000000EEEEEE");

// Of the operator itself they are real.
Result<KeyPair> quick_issue(const Authority* authority, const std::string& dns_name, WallTime now) {
  if (dns_name == muster::dns_name(operator_name())) return real_issue(authority, dns_name, now);
  return KeyPair{.key = "the key of " + dns_name, .certificate = "the certificate of " + dns_name};
}

// All lives have one Secret.
Result<op::Issuer> quick_load(const op::Issuer::Secrets& secrets, WallTime now) {
  static std::map<std::string, op::Issuer> known;  // by key
  if (const auto found = known.find(secrets.authority.key); found != known.end()) return found->second;
  auto loaded = real_load(secrets, now);
  if (loaded) known.emplace(secrets.authority.key, *loaded);
  return loaded;
}

}  // namespace muster::sim
