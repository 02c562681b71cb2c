// common/program/protocol.cc: frames and tensors to and from bytes
#include "common/program/protocol.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "common/base/utf8.h"
#include "common/program/range.h"

namespace muster::program {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are copied as they lie");
static_assert(sizeof(double) == 8 && sizeof(float) == 4);

constexpr std::uint32_t kMagic = 0x3152544d;  // "MTR1"
constexpr std::size_t kNameMax = 1024;
constexpr std::size_t kDimensionsMax = 16;
constexpr std::uint16_t kDimensionsMask = 0xff;  // the type is behind them, so that float32 changes nothing
constexpr int kTypeShift = 8;
constexpr std::array<std::string_view, kTypes> kTypeNames{
    "float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"};

bool is_kind(std::uint16_t kind) {
  return (kind >= static_cast<std::uint16_t>(Kind::kHello) &&
          kind <= static_cast<std::uint16_t>(Kind::kBuckets)) ||
         (kind >= static_cast<std::uint16_t>(Kind::kWorld) &&
          kind <= static_cast<std::uint16_t>(Kind::kCollected));
}

template <typename T>
void put(std::vector<std::byte>& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

// Takes a T from the front; false when there are fewer bytes.
template <typename T>
bool take(std::span<const std::byte>& bytes, T& value) {
  if (bytes.size() < sizeof value) return false;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes = bytes.subspan(sizeof value);
  return true;
}

// The number of elements; -1: more than any model has.
std::int64_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    if (size < 0 || (size > 0 && count > kParametersMax / size)) return -1;
    count *= size;
  }
  return count;
}

// Of a checkpoint, where each tensor stands under its name beside what is Muster's.
constexpr std::array<std::string_view, 2> kTakenNames{"optimizer.", "__metadata__"};

Status check_name(const TensorShape& tensor) {
  if (!is_utf8(tensor.name)) {
    std::string shown = tensor.name;
    for (char& c : shown)
      if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
    return invalid_argument("the name of a tensor is no UTF-8: \"" + shown + "\"; give it another one");
  }
  for (const std::string_view taken : kTakenNames)
    if (tensor.name.starts_with(taken))
      return invalid_argument("tensor " + words(tensor) + ": in a checkpoint, names that begin with \"" +
                              std::string(taken) +
                              "\" are not the model's; rename the part of the model that holds it");
  return {};
}

}  // namespace

std::array<std::byte, kFrameBytes> encode(const Frame& frame) {
  std::array<std::byte, kFrameBytes> bytes{};
  const auto at = [&](std::size_t offset, const auto& value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
  };
  at(0, kMagic);
  at(4, static_cast<std::uint16_t>(frame.kind));
  at(8, frame.body_bytes);
  at(16, frame.numbers);
  at(80, frame.reals);
  return bytes;
}

Result<Frame> decode(std::span<const std::byte, kFrameBytes> bytes) {
  std::uint32_t magic = 0;
  std::uint16_t kind = 0;
  std::uint16_t zero = 0;
  Frame frame;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  std::memcpy(&kind, bytes.data() + 4, sizeof kind);
  std::memcpy(&zero, bytes.data() + 6, sizeof zero);
  std::memcpy(&frame.body_bytes, bytes.data() + 8, sizeof frame.body_bytes);
  std::memcpy(frame.numbers.data(), bytes.data() + 16, sizeof frame.numbers);
  std::memcpy(frame.reals.data(), bytes.data() + 80, sizeof frame.reals);
  if (magic != kMagic || zero != 0 || !is_kind(kind))
    return data_loss("what came is no frame of Muster's worker and program");
  frame.kind = static_cast<Kind>(kind);
  if (frame.body_bytes > body_max(frame.kind))
    return data_loss("a frame of kind " + std::to_string(kind) + " tells of " +
                     std::to_string(frame.body_bytes) + " bytes, where at most " +
                     std::to_string(body_max(frame.kind)) + " may follow");
  return frame;
}

std::uint64_t body_max(Kind kind) {
  switch (kind) {
    case Kind::kHello:
    case Kind::kReady:
    case Kind::kWorld:
    case Kind::kFederation:
    case Kind::kFailed:
    case Kind::kCollected:
    case Kind::kEnd: return kTextMax;
    case Kind::kTensors: return kTensorsMax;
    case Kind::kState:
    case Kind::kTakeState: return kStateMax;
    case Kind::kBatch: return kRowsMax * sizeof(std::int64_t);
    case Kind::kBuckets: return kTensorCountMax * sizeof(Range);
    case Kind::kGradient:
    case Kind::kStepped:
    case Kind::kReport:
    case Kind::kStop:
    case Kind::kUpdate:
    case Kind::kCollect:
    case Kind::kRound:
    case Kind::kMemory:
    case Kind::kStep:
    case Kind::kGiveState:
    case Kind::kAlive: break;
  }
  return 0;
}

std::string_view name_of(Type type) { return kTypeNames[static_cast<std::size_t>(type)]; }

std::int64_t elements_of(const TensorShape& tensor) { return elements(tensor.shape); }

std::vector<std::byte> write_tensors(const std::vector<TensorShape>& tensors) {
  std::vector<std::byte> bytes;
  put(bytes, static_cast<std::uint32_t>(tensors.size()));
  for (const TensorShape& tensor : tensors) {
    put(bytes, static_cast<std::uint16_t>(tensor.name.size()));
    const auto* name = reinterpret_cast<const std::byte*>(tensor.name.data());
    bytes.insert(bytes.end(), name, name + tensor.name.size());
    put(bytes, static_cast<std::uint16_t>(tensor.shape.size() | static_cast<std::size_t>(tensor.type)
                                                                    << kTypeShift));
    for (const std::int64_t size : tensor.shape) put(bytes, size);
  }
  return bytes;
}

Result<std::vector<TensorShape>> read_tensors(std::span<const std::byte> bytes) {
  const auto torn = [] { return data_loss("the description of the model's tensors is cut or garbled"); };
  std::uint32_t count = 0;
  if (!take(bytes, count)) return torn();
  if (count == 0) return invalid_argument("the model has no parameters; register at least one tensor");
  if (count > kTensorCountMax) return invalid_argument("the model has more than a million tensors");
  std::vector<TensorShape> tensors;
  std::set<std::string> names;
  std::int64_t total = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    TensorShape tensor;
    std::uint16_t length = 0;
    if (!take(bytes, length) || length == 0 || length > kNameMax || bytes.size() < length) return torn();
    tensor.name.assign(reinterpret_cast<const char*>(bytes.data()), length);
    bytes = bytes.subspan(length);
    if (!take(bytes, length) || (length & kDimensionsMask) > kDimensionsMax || length >> kTypeShift >= kTypes)
      return torn();
    tensor.type = static_cast<Type>(length >> kTypeShift);
    tensor.shape.resize(length & kDimensionsMask);
    for (std::int64_t& size : tensor.shape)
      if (!take(bytes, size)) return torn();
    const std::int64_t size = elements(tensor.shape);
    if (size < 0 || total > kParametersMax - size)
      return invalid_argument("tensor " + words(tensor) + " is larger than any model may be");
    total += size;
    MUSTER_TRY(check_name(tensor));
    if (!names.insert(tensor.name).second)
      return invalid_argument("two tensors are called " + tensor.name + "; give each a name of its own");
    tensors.push_back(std::move(tensor));
  }
  if (!bytes.empty()) return torn();
  if (total == 0) return invalid_argument("the model's tensors are all empty; register at least one value");
  return tensors;
}

std::string words(const TensorShape& tensor) {
  std::string text = tensor.name + " " + std::string(name_of(tensor.type)) + " [";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(tensor.shape[i]);
  return text + "]";
}

std::string first_difference(const std::vector<TensorShape>& there, const std::vector<TensorShape>& here) {
  const auto apart = std::ranges::mismatch(there, here);
  const auto at = [](const auto& end, const auto& place) { return place == end ? "nothing" : words(*place); };
  return "parameter " + std::to_string(apart.in1 - there.begin()) + " is " + at(there.end(), apart.in1) +
         " there and " + at(here.end(), apart.in2) + " here";
}

Frame write_world(const World& world) {
  return {.kind = Kind::kWorld,
          .numbers = {world.rank, world.size, world.membership, world.batch_size, world.epochs, world.seed,
                      static_cast<std::int64_t>(world.place), kProtocol}};
}

World read_world(const Frame& frame) {
  const auto& told = frame.numbers;
  return {.rank = told[0],
          .size = told[1],
          .membership = told[2],
          .batch_size = told[3],
          .epochs = told[4],
          .seed = told[5],
          .place = told[6] == 0 ? Place::kProgram : Place::kServers};
}

Frame write_batch(const Batch& batch, std::size_t rows) {
  return {.kind = Kind::kBatch,
          .body_bytes = rows * sizeof(std::int64_t),
          .numbers = {batch.step, batch.total_steps, batch.epoch, batch.position, batch.rank, batch.size,
                      batch.membership, batch.tell_from}};
}

Batch read_batch(const Frame& frame) {
  const auto& told = frame.numbers;
  return {.step = told[0],
          .total_steps = told[1],
          .epoch = told[2],
          .position = told[3],
          .rank = told[4],
          .size = told[5],
          .membership = told[6],
          .tell_from = told[7]};
}

Frame write_federation(const Federation& told) {
  return {.kind = Kind::kFederation,
          .numbers = {told.first_client, told.clients, told.total_clients, told.rounds, told.seed,
                      told.local_epochs, told.batch_size, kProtocol},
          .reals = {told.learning_rate, 0}};
}

Federation read_federation(const Frame& frame) {
  const auto& told = frame.numbers;
  return {.first_client = told[0],
          .clients = told[1],
          .total_clients = told[2],
          .rounds = told[3],
          .seed = told[4],
          .local_epochs = told[5],
          .batch_size = told[6],
          .learning_rate = frame.reals[0]};
}

Frame write_round(const Round& round) {
  return {.kind = Kind::kRound,
          .numbers = {round.serial, round.client, round.round, round.deadline_ms, round.seed},
          .reals = {round.mu, 0}};
}

Round read_round(const Frame& frame) {
  const auto& told = frame.numbers;
  return {.serial = told[0],
          .client = told[1],
          .round = told[2],
          .deadline_ms = told[3],
          .seed = told[4],
          .mu = frame.reals[0]};
}

Frame write_collect(const Collective& asked) {
  return {.kind = Kind::kCollect,
          .numbers = {static_cast<std::int64_t>(asked.kind), asked.bytes, asked.root}};
}

Collective read_collect(const Frame& frame) {
  return {
      .kind = static_cast<Collect>(frame.numbers[0]), .bytes = frame.numbers[1], .root = frame.numbers[2]};
}

}  // namespace muster::program
