// local/api/protobuf_body.cc: protobuf's wire format, read by a table of Kubernetes' field numbers
#include "local/api/protobuf_body.h"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <sstream>

#include "local/api/base64.h"
#include "local/api/formats.h"

namespace muster::local {
namespace {

constexpr int kDepthMax = 32;

// Message, then number:name:type. Types: s string, b bytes, n number, B boolean, t time, m time with
// microseconds, x int-or-string, j JSON in bytes, @Message; "[]" a list of, "{}" a map from strings to. "?"
// marks a field that is kept when it is zero, because it is optional and so was set on purpose.
constexpr const char* kMessages = R"(
ObjectMeta 1:name:s 2:generateName:s 3:namespace:s 4:selfLink:s 5:uid:s 6:resourceVersion:s 7:generation:n 8:creationTimestamp:t 9:deletionTimestamp:t 10:deletionGracePeriodSeconds:n? 11:labels:{}s 12:annotations:{}s 13:ownerReferences:[]@OwnerReference 14:finalizers:[]s 17:managedFields:[]@ManagedFieldsEntry
OwnerReference 1:kind:s 3:name:s 4:uid:s 5:apiVersion:s 6:controller:B? 7:blockOwnerDeletion:B?
ManagedFieldsEntry 1:manager:s 2:operation:s 3:apiVersion:s 4:time:t 6:fieldsType:s 7:fieldsV1:@FieldsV1 8:subresource:s
FieldsV1 1:raw:j
ObjectReference 1:kind:s 2:namespace:s 3:name:s 4:uid:s 5:apiVersion:s 6:resourceVersion:s 7:fieldPath:s
LocalObjectReference 1:name:s
ConfigMap 1:metadata:@ObjectMeta 2:data:{}s 3:binaryData:{}b 4:immutable:B?
Secret 1:metadata:@ObjectMeta 2:data:{}b 3:type:s 4:stringData:{}s 5:immutable:B?
Namespace 1:metadata:@ObjectMeta 2:spec:@NamespaceSpec 3:status:@NamespaceStatus
NamespaceSpec 1:finalizers:[]s
NamespaceStatus 1:phase:s
ServiceAccount 1:metadata:@ObjectMeta 2:secrets:[]@ObjectReference 3:imagePullSecrets:[]@LocalObjectReference 4:automountServiceAccountToken:B?
Service 1:metadata:@ObjectMeta 2:spec:@ServiceSpec
ServiceSpec 1:ports:[]@ServicePort 2:selector:{}s 3:clusterIP:s 4:type:s 5:externalIPs:[]s 7:sessionAffinity:s 8:loadBalancerIP:s 9:loadBalancerSourceRanges:[]s 10:externalName:s 11:externalTrafficPolicy:s 12:healthCheckNodePort:n 13:publishNotReadyAddresses:B 14:sessionAffinityConfig:@SessionAffinityConfig 17:ipFamilyPolicy:s 18:clusterIPs:[]s 19:ipFamilies:[]s 20:allocateLoadBalancerNodePorts:B? 21:loadBalancerClass:s 22:internalTrafficPolicy:s 23:trafficDistribution:s
ServicePort 1:name:s 2:protocol:s 3:port:n 4:targetPort:x 5:nodePort:n 6:appProtocol:s
SessionAffinityConfig 1:clientIP:@ClientIPConfig
ClientIPConfig 1:timeoutSeconds:n?
Lease 1:metadata:@ObjectMeta 2:spec:@LeaseSpec
LeaseSpec 1:holderIdentity:s 2:leaseDurationSeconds:n? 3:acquireTime:m 4:renewTime:m 5:leaseTransitions:n? 6:strategy:s 7:preferredHolder:s
Event 1:metadata:@ObjectMeta 2:involvedObject:@ObjectReference 3:reason:s 4:message:s 5:source:@EventSource 6:firstTimestamp:t 7:lastTimestamp:t 8:count:n 9:type:s 10:eventTime:m 12:action:s 13:related:@ObjectReference 14:reportingComponent:s 15:reportingInstance:s
EventSource 1:component:s 2:host:s
SelfSubjectAccessReview 1:metadata:@ObjectMeta 2:spec:@SelfSubjectAccessReviewSpec
SelfSubjectAccessReviewSpec 1:resourceAttributes:@ResourceAttributes 2:nonResourceAttributes:@NonResourceAttributes
ResourceAttributes 1:namespace:s 2:verb:s 3:group:s 4:version:s 5:resource:s 6:subresource:s 7:name:s
NonResourceAttributes 1:path:s 2:verb:s
DeleteOptions 1:gracePeriodSeconds:n? 2:preconditions:@Preconditions 3:orphanDependents:B? 4:propagationPolicy:s 5:dryRun:[]s
Preconditions 1:uid:s 2:resourceVersion:s
Eviction 1:metadata:@ObjectMeta 2:deleteOptions:@DeleteOptions
)";

struct Field {
  std::string name, type;
  bool optional = false;
};
using Message = std::map<std::uint64_t, Field>;

const std::map<std::string, Message>& messages() {
  static const std::map<std::string, Message> kAll = [] {
    std::map<std::string, Message> all;
    std::istringstream lines(kMessages);
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

Result<Json> read_time(std::string_view bytes, bool micro) {
  Reader reader(bytes);
  std::int64_t seconds = 0, nanos = 0;
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece piece, reader.next());
    if (piece.number == 1) seconds = static_cast<std::int64_t>(piece.varint);
    if (piece.number == 2) nanos = static_cast<std::int64_t>(piece.varint);
  }
  if (bytes.empty() || seconds < -62135596799 || seconds > 253402300799) return Json();
  const WallTime time =
      WallTime(std::chrono::seconds(seconds)) + std::chrono::microseconds(nanos / 1000 % 1000000);
  return Json(micro ? format_micro_time(time) : format_time(time));
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
  return is_text ? Json(text) : Json(number);
}

Result<Json> read_value(const Piece& piece, const std::string& type, int depth) {
  if (type == "n" || type == "B") {
    if (piece.is_bytes) return Reader::broken();
    return type == "B" ? Json(piece.varint != 0) : Json(static_cast<std::int64_t>(piece.varint));
  }
  if (!piece.is_bytes) return Reader::broken();
  if (type == "s") return Json(std::string(piece.bytes));
  if (type == "b") return Json(base64_encode(piece.bytes));
  if (type == "t" || type == "m") return read_time(piece.bytes, type == "m");
  if (type == "x") return read_int_or_string(piece.bytes);
  if (type == "j") {
    Json json = Json::parse(piece.bytes, nullptr, false);
    return json.is_discarded() ? Result<Json>(Reader::broken()) : Result<Json>(std::move(json));
  }
  return read_message(piece.bytes, type.substr(1), depth + 1);
}

Status read_entry(const Piece& piece, const std::string& type, Json& map, int depth) {
  if (!piece.is_bytes) return Reader::broken();
  Reader reader(piece.bytes);
  std::string key;
  Json value = "";
  while (!reader.done()) {
    MUSTER_ASSIGN(const Piece part, reader.next());
    if (part.number == 1) key = std::string(part.bytes);
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
      if (field.type == "j") return value;
      if (field.optional || !is_zero(value)) object[field.name] = std::move(value);
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
    }
  }
  static const std::map<std::string, std::string> kKinds = {
      {"ConfigMap", "v1"},
      {"Secret", "v1"},
      {"Namespace", "v1"},
      {"ServiceAccount", "v1"},
      {"Service", "v1"},
      {"Event", "v1"},
      {"Lease", "coordination.k8s.io/v1"},
      {"SelfSubjectAccessReview", "authorization.k8s.io/v1"},
      {"DeleteOptions", ""},
      {"Eviction", "policy/v1"}};
  const auto known = kKinds.find(kind);
  if (known == kKinds.end() || (!known->second.empty() && known->second != api_version))
    return invalid_argument(fmt::format(
        "protobuf bodies of {} {} are not read by this server; send it as JSON (kubectl create -f FILE)",
        api_version, kind));
  MUSTER_ASSIGN(Json object, read_message(raw, kind, 0));
  object["apiVersion"] = api_version;
  object["kind"] = kind;
  return object;
}

}  // namespace muster::local
