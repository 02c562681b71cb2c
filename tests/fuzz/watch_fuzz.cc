// tests/fuzz/watch_fuzz.cc: the bytes of a watch. The first byte says how they are cut, which must not
// matter, nor may what is not read of objects.
#include "common/json/read_json.h"
#include "kube/read_object.h"
#include "kube/watch_decoder.h"
#include "tests/fuzz/fuzz.h"

namespace {

struct Seen {
  std::vector<muster::Json> objects;
  bool failed = false;
  friend bool operator==(const Seen&, const Seen&) = default;
};

Seen decode(std::string_view bytes, std::size_t piece) {
  Seen seen;
  muster::kube::WatchDecoder decoder;
  const auto take = [&](muster::kube::WatchEvent event) {
    seen.objects.push_back(std::move(event.object));
    return true;
  };
  while (!bytes.empty() && !seen.failed) {
    seen.failed = !decoder.feed(bytes.substr(0, piece), take);
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (!seen.failed) decoder.finish(take);
  return seen;
}

void forget(muster::Json& object) {
  if (const auto metadata = object.is_object() ? object.find("metadata") : object.end();
      metadata != object.end() && metadata->is_object())
    metadata->erase("managedFields");
}

// However their name is written, and wherever they are left out.
muster::Json without_managed_fields(muster::Json value) {
  if (!value.is_object()) return value;
  forget(value);
  if (const auto object = value.find("object"); object != value.end()) forget(*object);
  if (const auto items = value.find("items"); items != value.end() && items->is_array())
    for (muster::Json& item : *items) forget(item);
  return value;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = muster::fuzz::text_of(data + 1, size - 1);
  MUSTER_CHECK(decode(bytes, std::string_view::npos) == decode(bytes, 1U + data[0] % 64U));
  if (const muster::Json whole = muster::read_json(bytes); !whole.is_discarded())
    MUSTER_CHECK(without_managed_fields(muster::kube::read_object(bytes)) == without_managed_fields(whole));
  return 0;
}
