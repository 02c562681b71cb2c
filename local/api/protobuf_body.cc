// local/api/protobuf_body.cc: protobuf's wire format, read by a table of Kubernetes' field numbers
#include "local/api/protobuf_body.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <sstream>

#include "common/base/base64.h"
#include "common/base/rfc3339.h"
#include "common/base/utf8.h"
#include "common/json/read_json.h"
#include "local/api/formats.h"

namespace muster::local {

extern const char* const kProtobufFields;  // from protobuf_fields.txt, see CMakeLists.txt

namespace {

constexpr int kDepthMax = 32;
constexpr int kFieldsMax = 10000;  // of a managedFields entry: they nest, and what walks them recurses

// A line of protobuf_fields.txt is a message, then number:name:type. Types: s string, b bytes, n number,
// B boolean, t time, m time with microseconds, x int-or-string, q quantity, F FieldsV1, @Message; "[]" a list
// of,
// "{}" a map from strings to, "*" a message whose first field is a list of. "?" marks a pointer: it was set
// on purpose, so zero is kept. "-" is a message whose members are the holder's own. Messages of groups other
// than core are named "apps.Deployment".
struct Field {
  std::string name, type;
  bool optional = false;
};
using Message = std::map<std::uint64_t, Field>;

const std::map<std::string, Message>& messages() {
  static const std::map<std::string, Message> kAll = [] {
    std::map<std::string, Message> all;
    std::istringstream lines(kProtobufFields);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string name;
      if (!(words >> name)) continue;
      Message& message = all[name];
      for (std::string word; words >> word;) {
        const auto first = word.find(':');
        const auto second = word.find(':', first + 1);
        Field field{word.substr(first + 1, second - first - 1), word.substr(second + 1), word.back() == '?'};
        if (field.optional) field.type.pop_back();
        message[std::stoull(word.substr(0, first))] = std::move(field);
      }
    }
    return all;
  }();
  return kAll;
}

// One field of a message as it is on the wire.
struct Piece {
  std::uint64_t number = 0;
  std::uint64_t varint = 0;
  std::string_view bytes;
  bool is_bytes = false;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  [[nodiscard]] bool done() const { return rest_.empty(); }

  Result<Piece> next() {
    MUSTER_ASSIGN(const std::uint64_t tag, varint());
    Piece piece;
    piece.number = tag >> 3;
    switch (tag & 7) {
      case 0: {
        MUSTER_ASSIGN(piece.varint, varint());
        return piece;
      }
      case 1:
      case 5: {
        const std::size_t size = (tag & 7) == 1 ? 8 : 4;
        if (rest_.size() < size) return broken();
        rest_.remove_prefix(size);
        return piece;
      }
      case 2: {
        MUSTER_ASSIGN(const std::uint64_t size, varint());
        if (size > rest_.size()) return broken();
        piece.bytes = rest_.substr(0, size);
        piece.is_bytes = true;
        rest_.remove_prefix(size);
        return piece;
      }
      default: return broken();
    }
  }

  static Error broken() { return invalid_argument("the body is not valid protobuf"); }

 private:
  Result<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return broken();
      const auto byte = static_cast<std::uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    return broken();
  }

  std::string_view rest_;
};

Result<Json> read_message(std::string_view bytes, const std::string& name, int depth);

// Texts are UTF-8: what is not, gives way to the replacement character, as in Go's JSON.
Json read_text(std::string_view bytes) {
  const Json text = std::string(bytes);
  return Json::parse(text.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Result<Json> read_time(std::string_view bytes, bool micro) {
  Reader reader(bytes);
  std::int64_t seconds = 0, nanos = 0;
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece piece, reader.next());
    if (piece.number == 1) seconds = static_cast<std::int64_t>(piece.varint);
    if (piece.number == 2) nanos = static_cast<std::int64_t>(piece.varint);
  }
  if (bytes.empty() || seconds < -62135596799 || seconds > 253402300799) return Json();
  const WallTime time = clock_time(seconds) + std::chrono::microseconds(nanos / 1000 % 1000000);
  return Json(micro ? rfc3339_micro(time) : rfc3339(time));
}

Result<Json> read_int_or_string(std::string_view bytes) {
  Reader reader(bytes);
  bool is_text = false;
  std::int64_t number = 0;
  std::string text;
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece piece, reader.next());
    if (piece.number == 1) is_text = piece.varint == 1;
    if (piece.number == 2) number = static_cast<std::int32_t>(piece.varint);
    if (piece.number == 3) text = std::string(piece.bytes);
  }
  return is_text ? read_text(text) : Json(number);
}

// The first field of a message: a quantity's text, the bytes of FieldsV1.
Result<std::string> read_first(std::string_view bytes) {
  Reader reader(bytes);
  std::string text;
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece piece, reader.next());
    if (piece.number == 1) text = std::string(piece.bytes);
  }
  return text;
}

Result<Json> read_list(std::string_view bytes, const std::string& type, int depth);

Result<Json> read_value(const Piece& piece, const std::string& type, int depth) {
  if (type == "n" || type == "B") {
    if (piece.is_bytes) return Reader::broken();
    return type == "B" ? Json(piece.varint != 0) : Json(static_cast<std::int64_t>(piece.varint));
  }
  if (!piece.is_bytes) return Reader::broken();
  if (type == "s") return read_text(piece.bytes);
  if (type == "b") return Json(base64_encode(piece.bytes));
  if (type == "t" || type == "m") return read_time(piece.bytes, type == "m");
  if (type == "x") return read_int_or_string(piece.bytes);
  if (type == "q") {
    MUSTER_ASSIGN(std::string text, read_first(piece.bytes));
    return read_text(text);
  }
  if (type == "F") {
    MUSTER_ASSIGN(const std::string text, read_first(piece.bytes));
    if (std::count(text.begin(), text.end(), '{') > kFieldsMax) return Reader::broken();
    Json json = read_json(text);
    return json.is_discarded() ? Result<Json>(Reader::broken()) : Result<Json>(std::move(json));
  }
  if (type[0] == '*') return read_list(piece.bytes, type.substr(1), depth + 1);
  return read_message(piece.bytes, type.substr(1), depth + 1);
}

Result<Json> read_list(std::string_view bytes, const std::string& type, int depth) {
  Reader reader(bytes);
  Json list = Json::array();
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece piece, reader.next());
    if (piece.number != 1) continue;
    MUSTER_ASSIGN(Json value, read_value(piece, type, depth));
    list.push_back(std::move(value));
  }
  return list;
}

Status read_entry(const Piece& piece, const std::string& type, Json& map, int depth) {
  if (!piece.is_bytes) return Reader::broken();
  Reader reader(piece.bytes);
  std::string key;
  Json value = "";
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece part, reader.next());
    if (part.number == 1) key = read_text(part.bytes).get<std::string>();
    if (part.number == 2) {
      MUSTER_ASSIGN(value, read_value(part, type, depth));
    }
  }
  map[key] = std::move(value);
  return {};
}

bool is_zero(const Json& value) {
  return value.is_null() || value == "" || value == 0 || value == false ||
         (value.is_object() && value.empty());
}

Result<Json> read_message(std::string_view bytes, const std::string& name, int depth) {
  if (depth > kDepthMax) return invalid_argument("the protobuf body is nested too deep");
  const Message& message = messages().at(name);
  Json object = Json::object();
  Reader reader(bytes);
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece piece, reader.next());
    const auto it = message.find(piece.number);
    if (it == message.end()) continue;
    const Field& field = it->second;
    const std::string plain = field.type.size() > 2 ? field.type.substr(2) : "";
    if (field.type.rfind("{}", 0) == 0) {
      MUSTER_TRY(read_entry(piece, plain, object[field.name], depth));
    } else if (field.type.rfind("[]", 0) == 0) {
      MUSTER_ASSIGN(Json value, read_value(piece, plain, depth));
      object[field.name].push_back(std::move(value));
    } else {
      MUSTER_ASSIGN(Json value, read_value(piece, field.type, depth));
      if (field.name == "-")
        object.update(value);
      else if (field.optional || !is_zero(value))
        object[field.name] = std::move(value);
    }
  }
  return object;
}

}  // namespace

Result<Json> decode_protobuf(const std::string& body) {
  constexpr std::string_view kMagic("k8s\0", 4);
  if (std::string_view(body).substr(0, 4) != kMagic)
    return invalid_argument(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  Reader reader(std::string_view(body).substr(4));
  std::string api_version, kind;
  std::string_view raw;
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece piece, reader.next());
    if (piece.number == 2) raw = piece.bytes;
    if (piece.number != 1) continue;
    Reader type(piece.bytes);
    while (!type.done()) {
      MUSTER_ASSIGN(const Piece part, type.next());
      if (part.number == 1) api_version = std::string(part.bytes);
      if (part.number == 2) kind = std::string(part.bytes);
      if (!is_utf8(api_version) || !is_utf8(kind)) return Reader::broken();
    }
  }
  // "apps/v1" is "apps.", "rbac.authorization.k8s.io/v1" is "rbac.", "v1" is "".
  const auto slash = api_version.find('/');
  std::string message = slash == std::string::npos || kind == "DeleteOptions"
                            ? kind
                            : api_version.substr(0, api_version.find_first_of("./")) + "." + kind;
  if (api_version == "autoscaling/v1") message = "autoscalingv1." + kind;
  const auto known = messages().find(message);
  if (known == messages().end() || (kind != "DeleteOptions" && !known->second.count(1)))
    return invalid_argument(fmt::format(
        "protobuf bodies of {} {} are not read by this server; send it as JSON (kubectl create -f FILE)",
        api_version, kind));
  MUSTER_ASSIGN(Json object, read_message(raw, message, 0));
  object["apiVersion"] = api_version;
  object["kind"] = kind;
  return object;
}

}  // namespace muster::local
