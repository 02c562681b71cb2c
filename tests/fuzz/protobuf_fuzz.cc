// tests/fuzz/protobuf_fuzz.cc: the protobuf bodies of kubectl and helm. The first byte chooses the kind, the
// rest is the message within runtime.Unknown.
#include <array>

#include "local/api/protobuf_body.h"
#include "tests/fuzz/fuzz.h"

namespace {

std::string field(char number, std::string_view bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (std::size_t left = bytes.size(); true; left >>= 7) {
    out += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
    if (left <= 0x7f) break;
  }
  return out.append(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static constexpr std::array<std::pair<const char*, const char*>, 10> kKinds = {
      {{"v1", "ConfigMap"},
       {"v1", "Secret"},
       {"v1", "Namespace"},
       {"v1", "ServiceAccount"},
       {"v1", "Service"},
       {"v1", "Event"},
       {"coordination.k8s.io/v1", "Lease"},
       {"authorization.k8s.io/v1", "SelfSubjectAccessReview"},
       {"v1", "DeleteOptions"},
       {"policy/v1", "Eviction"}}};
  (void)muster::local::decode_protobuf(std::string(muster::fuzz::text_of(data, size)));  // as it is
  if (size == 0) return 0;
  const auto& [version, kind] = kKinds[data[0] % kKinds.size()];
  const std::string body = std::string("k8s\0", 4) + field(1, field(1, version) + field(2, kind)) +
                           field(2, muster::fuzz::text_of(data + 1, size - 1));
  const auto object = muster::local::decode_protobuf(body);
  if (object) MUSTER_CHECK(object->is_object() && (*object)["kind"] == kind);
  return 0;
}
