#pragma once  // worker/program/protocol.h: the frames between a worker and the user's program beside it. Pure
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace muster::program {

// Raised with every change of a frame's meaning. Both ends refuse another number.
inline constexpr std::int64_t kProtocol = 1;

// One stream in each direction over a Unix socket. The worker asks, the program answers, but for kReport and
// kStop, which may come at any time. `numbers` and `reals` that a kind does not name are 0.
enum class Kind : std::uint16_t {
  // From the program.
  kHello = 1,    // {protocol}; body: the library's version
  kTensors = 2,  // body: write_tensors
  // {examples, batch size or 0, fingerprint of the examples or 0}; body: the optimizer as JSON for parameter
  // servers,
  // or nothing
  kReady = 3,
  kGradient = 4,  // {1: a loss was told}, {mean loss}: the mean gradient of the batch is in place
  kStepped = 5,   // the optimizer has made its step
  kState = 6,     // body: what the program keeps beside the parameters
  kReport = 7,    // {1: loss} | {2: accuracy}, {loss, accuracy}
  kStop = 8,      // the program was asked to stop
  // From the worker.
  kWorld = 101,      // write_world; body: the worker's version
  kMemory = 102,     // {floats of parameters, offset of the gradient, bytes of all}; with a file descriptor
  kBatch = 103,      // write_batch; body: rows, i64 each; none: answer at once, with any gradient
  kStep = 104,       // the mean gradient of all ranks is in place: make the optimizer's step
  kGiveState = 105,  // tell kState
  kTakeState = 106,  // body: the state of a peer or of a checkpoint; parameters are in place
  kEnd = 107,    // {exit code, reports that were heard}; body: last words; again after each further report
  kAlive = 108,  // nothing; so that a worker that stands still is told from one that waits
};

inline constexpr std::size_t kFrameBytes = 96;
struct Frame {
  Kind kind = Kind::kAlive;
  std::uint64_t body_bytes = 0;  // that follow the frame
  std::array<std::int64_t, 8> numbers{};
  std::array<double, 2> reals{};
  friend bool operator==(const Frame&, const Frame&) = default;
};

inline constexpr std::uint64_t kTextMax = 8192;         // versions, last words, an optimizer
inline constexpr std::uint64_t kTensorsMax = 16 << 20;  // bytes of kTensors
inline constexpr std::int64_t kTensorCountMax = 1'000'000;
inline constexpr std::int64_t kParametersMax = std::int64_t{1} << 36;
inline constexpr std::uint64_t kStateMax = std::uint64_t{1} << 36;
inline constexpr std::uint64_t kRowsMax = 1 << 24;
inline constexpr std::int64_t kExamplesMax = 2'000'000'000;  // their order is held in memory, 8 bytes each

// Little-endian. 0 u32 magic, 4 u16 kind, 6 u16 zero, 8 u64 body_bytes, 16 i64 numbers[8], 80 f64 reals[2].
[[nodiscard]] std::array<std::byte, kFrameBytes> encode(const Frame& frame);
// Whatever the bytes are. kDataLoss: they are no frame, or one with a longer body than its kind may have.
[[nodiscard]] Result<Frame> decode(std::span<const std::byte, kFrameBytes> bytes);
// The longest body of a kind.
[[nodiscard]] std::uint64_t body_max(Kind kind);

struct TensorShape {
  std::string name;                 // not empty, at most 1024 bytes
  std::vector<std::int64_t> shape;  // at most 16 of at least 0; all float32
  friend bool operator==(const TensorShape&, const TensorShape&) = default;
};
[[nodiscard]] std::vector<std::byte> write_tensors(const std::vector<TensorShape>& tensors);
// kInvalidArgument: too many, too large, two of one name. kDataLoss: the bytes are no tensors.
[[nodiscard]] Result<std::vector<TensorShape>> read_tensors(std::span<const std::byte> bytes);
// "fc.weight float32 [10, 784]".
[[nodiscard]] std::string words(const TensorShape& tensor);

// Who makes the optimizer's step.
enum class Place : std::int64_t { kProgram = 0, kServers = 1 };

struct World {
  std::int64_t rank = 0;
  std::int64_t size = 1;
  std::int64_t membership = 0;
  std::int64_t batch_size = 0;  // of this rank
  std::int64_t epochs = 0;
  std::int64_t seed = 0;
  Place place = Place::kProgram;
};
struct Batch {
  std::int64_t step = 0;  // completed ones
  std::int64_t total_steps = 0;
  std::int64_t epoch = 0;     // completed ones
  std::int64_t position = 0;  // examples of the epoch that are done
  std::int64_t rank = 0;
  std::int64_t size = 1;
  std::int64_t membership = 0;
};
[[nodiscard]] Frame write_world(const World& world);
[[nodiscard]] World read_world(const Frame& frame);
[[nodiscard]] Frame write_batch(const Batch& batch, std::size_t rows);
[[nodiscard]] Batch read_batch(const Frame& frame);

// A float vector that carries bytes: u64 their number, the bytes, zeros. For states among float32 tensors.
[[nodiscard]] std::size_t floats_for(std::size_t bytes);
void pack(std::span<const std::byte> bytes, std::span<float> floats);  // floats_for(bytes.size())
// kDataLoss: they carry none.
[[nodiscard]] Result<std::span<const std::byte>> unpack(std::span<const float> floats);

}  // namespace muster::program
