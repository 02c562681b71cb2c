#pragma once  // common/program/protocol.h: the frames between a worker and the user's program beside it. Pure
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
inline constexpr std::int64_t kProtocol = 3;

// What a program is there for; it says so in its hello, and the program beside it is of one kind.
enum class Part : std::int64_t {
  kJob = 0,     // gradients and steps of a DistributedJob: kWorld, then questions
  kClient = 1,  // clients of a FederatedRound: kFederation, then rounds
  kGroup = 2,   // collectives of a DistributedJob for a loop of its own: kWorld, then kCollect by the program
};

// One stream each way over a Unix socket. The worker (or muster-device) asks, the program answers; kReport
// and kStop may come at any time, and in a group the program asks. What a kind does not name is 0.
enum class Kind : std::uint16_t {
  // From the program.
  kHello = 1,    // {protocol, Part}; body: the library's version
  kTensors = 2,  // body: write_tensors
  // {examples, batch size or 0, fingerprint or 0}; body: for parameter servers, the optimizer as JSON
  kReady = 3,
  kGradient = 4,  // {1: a loss was told}, {mean loss}: the mean gradient of the batch is in place
  kStepped = 5,   // the optimizer has made its step
  kState = 6,     // body: what the program keeps beside the parameters
  kReport = 7,    // {1: loss} | {2: accuracy}, {loss, accuracy}
  kStop = 8,      // the program was asked to stop
  kUpdate = 9,   // {serial, examples, 1: loss | 2: accuracy}, {loss, accuracy}: the trained model is in place
  kFailed = 10,  // {serial}; body: why the client could not train
  kCollect = 11,  // write_collect: a collective on what is in place; or, with kDone, that all is well
  // body: Range, one after another: of the gradient of the batch under way, final and not written to any more
  kBuckets = 12,
  // From the worker.
  kWorld = 101,      // write_world; body: the worker's version
  kMemory = 102,     // {floats of parameters, offset of the gradient, bytes of all}; with a file descriptor
  kBatch = 103,      // write_batch; body: rows, i64 each; none: answer at once, with any gradient
  kStep = 104,       // the mean gradient of all ranks is in place: make the optimizer's step
  kGiveState = 105,  // tell kState
  kTakeState = 106,  // body: the state of a peer or of a checkpoint; parameters are in place
  kEnd = 107,  // {exit code, reports that were heard}; body: last words; again after each further report
  kFederation = 109,  // write_federation; body: the version of the program beside it
  kRound = 110,       // write_round: the client's model is in place
  kCollected = 111,   // the answer to kCollect; body: why it failed, or nothing
  kAlive = 108,       // nothing; so that a worker that stands still is told from one that waits
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

// Of a tensor in the program; between the two it is float32. Of a job's all are float32.
enum class Type : std::uint8_t {
  kFloat32,
  kFloat64,
  kFloat16,
  kBFloat16,
  kInt64,
  kInt32,
  kInt16,
  kInt8,
  kUInt8,
  kBool,
};
inline constexpr std::uint8_t kTypes = 10;
[[nodiscard]] std::string_view name_of(Type type);

struct TensorShape {
  std::string name;                 // not empty, at most 1024 bytes
  std::vector<std::int64_t> shape;  // at most 16 of at least 0
  Type type = Type::kFloat32;
  friend bool operator==(const TensorShape&, const TensorShape&) = default;
};
[[nodiscard]] std::int64_t elements_of(const TensorShape& tensor);  // of one that was read
[[nodiscard]] std::vector<std::byte> write_tensors(const std::vector<TensorShape>& tensors);
// kInvalidArgument: too many, too large, two of one name. kDataLoss: the bytes are no tensors.
[[nodiscard]] Result<std::vector<TensorShape>> read_tensors(std::span<const std::byte> bytes);
// "fc.weight float32 [10, 784]".
[[nodiscard]] std::string words(const TensorShape& tensor);
// "parameter 3 is 1.bias float32 [1] there and nothing here": of two models that differ.
[[nodiscard]] std::string first_difference(const std::vector<TensorShape>& there,
                                           const std::vector<TensorShape>& here);

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
  // As soon as so many elements of its gradient are final, kBuckets is of use. 0: it is not.
  std::int64_t tell_from = 0;
};
[[nodiscard]] Frame write_world(const World& world);
[[nodiscard]] World read_world(const Frame& frame);
[[nodiscard]] Frame write_batch(const Batch& batch, std::size_t rows);
[[nodiscard]] Batch read_batch(const Frame& frame);

struct Federation {  // what does not change, of a FederatedRound's client pod
  std::int64_t first_client = 0;
  std::int64_t clients = 1;  // of this pod
  std::int64_t total_clients = 1;
  std::int64_t rounds = 1;
  std::int64_t seed = 0;
  std::int64_t local_epochs = 1;
  std::int64_t batch_size = 0;
  double learning_rate = 0;
};
struct Round {              // one client's part in a round
  std::int64_t serial = 0;  // of the question; its answer names it
  std::int64_t client = 0;
  std::int64_t round = 0;        // counted from 1
  std::int64_t deadline_ms = 0;  // from now: an update that comes later is of no use
  std::int64_t seed = 0;         // of this client's shuffles in this round; below 2^62
  double mu = 0;                 // FedProx
};
[[nodiscard]] Frame write_federation(const Federation& federation);
[[nodiscard]] Federation read_federation(const Frame& frame);
[[nodiscard]] Frame write_round(const Round& round);
[[nodiscard]] Round read_round(const Frame& frame);

enum class Collect : std::int64_t {
  kDone = 0,       // the program is at its good end; its answer is kEnd
  kSum = 1,        // parameters[0, count) become their sums over the ranks, as payload
  kBroadcast = 2,  // parameters[0, count) become the root's
  kGather = 3,     // every rank's parameters[0, count) lie in the gradient [ranks, count], by rank
  kBarrier = 4,
  kCompressedSum = 5,  // kSum by spec.compression; `root`: whose remainder goes with it
};
struct Collective {
  Collect kind = Collect::kDone;
  std::int64_t bytes = 0;  // of one rank; of sums a multiple of 4
  std::int64_t root = 0;
};
[[nodiscard]] Frame write_collect(const Collective& collective);
[[nodiscard]] Collective read_collect(const Frame& frame);

}  // namespace muster::program
