// common/program/program_link.cc: questions, answers, and what comes between
#include "common/program/program_link.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace muster::program {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAliveEvery{2000};
constexpr milliseconds kLook{
    200};  // how soon the thread sees what comes unasked, and a program that connects
constexpr milliseconds kYield{1000};  // for so long it leaves the channel to whoever has waited for an answer
constexpr std::uint64_t kStateFloor = 256 << 20;  // what any program may keep beside its parameters,
constexpr std::uint64_t kStatesOfModel = 16;      // and how many times its parameters besides

Error lost(const Error& why) {
  if (why.code == Code::kDataLoss || why.code == Code::kInvalidArgument)
    return why.in("the program of this pod");
  return internal_error("the program of this pod has ended, or does not answer: " + why.message);
}

std::string text_of(const std::vector<std::byte>& body) {
  return {reinterpret_cast<const char*>(body.data()), body.size()};
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

Result<std::unique_ptr<ProgramLink>> ProgramLink::listen(Options options) {
  MUSTER_ASSIGN(FileDescriptor listener, listen_at(options.path));
  return std::unique_ptr<ProgramLink>(new ProgramLink(std::move(options), std::move(listener)));
}

ProgramLink::ProgramLink(Options options, FileDescriptor listener)
    : options_(std::move(options)), listener_(std::move(listener)), thread_([this] { run(); }) {}

ProgramLink::~ProgramLink() {
  {
    const MutexLock lock(mutex_);
    over_ = true;
    if (connected_) channel_->shut_down();
  }
  changed_.notify_all();
  nap_.notify_all();
  thread_.join();
}

// ---- the thread ----

bool ProgramLink::accept_program() {
  pollfd entry{.fd = listener_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&entry, 1, static_cast<int>(kLook.count())) <= 0) return false;
  FileDescriptor socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.valid()) return false;
  listener_.reset();  // one program a pod: another is refused
  const MutexLock lock(mutex_);
  channel_ = std::make_unique<Channel>(std::move(socket));
  connected_ = true;
  changed_.notify_all();
  return true;
}

void ProgramLink::run() {
  while (!over_ && !accept_program()) {
  }
  Instant alive{};
  while (!over_) {
    if (const Instant now = std::chrono::steady_clock::now(); now >= alive) {
      alive = now + kAliveEvery;
      const MutexLock lock(sending_);
      channel_->offer({.kind = Kind::kAlive});
    }
    MutexLock lock(mutex_);
    if (closed_) return;
    const bool yields = reading_ || std::chrono::steady_clock::now() < yields_until_;
    if (!reading_) {
      reading_ = true;
      lock.unlock();
      Status heard = hear_next(yields ? Deadline() : deadline_after(kLook));
      lock.lock();
      reading_ = false;
      if (!heard) closed_ = heard.error();
      changed_.notify_all();
    }
    if (yields) nap_.wait_for(lock, kLook, [this]() MUSTER_REQUIRES(mutex_) { return over_ || closed_; });
  }
}

// The next frame, where one comes until `deadline`. For the one that reads.
Status ProgramLink::hear_next(Deadline deadline) {
  MUSTER_ASSIGN(const std::optional<Frame> frame, channel_->receive(deadline));
  return frame ? hear(*frame) : Status();
}

// Until there is an answer, an end, or something of a gradient; or until `deadline`. The thread that waits
// for it reads it: to be woken by another one costs a program's step as much as the frame itself.
void ProgramLink::read(Deadline deadline) {
  MutexLock lock(mutex_);
  const auto some = [this]() MUSTER_REQUIRES(mutex_) { return inbox_ || closed_ || !final_.empty(); };
  while (!some() && std::chrono::steady_clock::now() < deadline) {
    yields_until_ = std::chrono::steady_clock::now() + kYield;
    const auto may = [&]() MUSTER_REQUIRES(mutex_) { return !reading_ || some(); };
    if (!changed_.wait_until(lock, deadline, may) || some()) continue;
    reading_ = true;
    lock.unlock();
    Status heard = hear_next(deadline);
    lock.lock();
    reading_ = false;
    if (heard) continue;
    closed_ = heard.error();
    nap_.notify_all();
  }
}

Status ProgramLink::hear(const Frame& frame) {
  if (frame.kind == Kind::kState) {
    const std::uint64_t room = [this] {
      const MutexLock lock(mutex_);
      return kStateFloor + kStatesOfModel * state_of_ * sizeof(float);
    }();
    if (frame.body_bytes > room)
      return invalid_argument("keeps a state of " + std::to_string(frame.body_bytes) + " bytes, more than " +
                              std::to_string(room));
  }
  Message message{.frame = frame, .body = {}};
  MUSTER_TRY(channel_->receive_body(frame.body_bytes, message.body, deadline_after(options_.answer)));
  if (frame.kind == Kind::kStop) {
    options_.stop_asked();
    return {};
  }
  MutexLock lock(mutex_);
  if (frame.kind == Kind::kReport) {
    if ((frame.numbers[0] & 1) != 0) told_loss_ = frame.reals[0];
    if ((frame.numbers[0] & 2) != 0) told_accuracy_ = frame.reals[1];
    ++reports_;
    return {};
  }
  if (frame.kind == Kind::kBuckets) {
    MUSTER_ASSIGN(const std::vector<Range> told,
                  read_ranges(message.body, static_cast<std::int64_t>(state_of_)));
    if (final_.size() + told.size() > kTensorCountMax) return data_loss("tells more than it was asked for");
    final_.insert(final_.end(), told.begin(), told.end());
    changed_.notify_all();
    return {};
  }
  // A group asks: its first question may come before its last answer was read.
  if (frame.kind == Kind::kCollect)
    changed_.wait_for(lock, Channel::kFrameTime,
                      [this]() MUSTER_REQUIRES(mutex_) { return !inbox_ || over_; });
  if (inbox_) return data_loss("tells more than it was asked for");
  inbox_ = std::move(message);
  changed_.notify_all();
  return {};
}

// ---- the worker's ----

Error ProgramLink::failed(Error error) {
  if (failure_) failure_ = error;
  return error;
}

Status ProgramLink::tell(const Frame& frame, std::span<const std::byte> body, int descriptor) {
  if (!failure_) return failure_.error();
  const MutexLock lock(sending_);
  const Status sent = channel_->send(frame, body, deadline_after(options_.answer), descriptor);
  return sent ? sent : Status(failed(lost(sent.error())));
}

Result<std::optional<ProgramLink::Message>> ProgramLink::next(Deadline deadline) {
  if (!failure_) return failure_.error();
  read(deadline);
  const MutexLock lock(mutex_);
  if (!inbox_ && !closed_) return std::optional<Message>();
  if (!inbox_) return failed(lost(*closed_));
  std::optional<Message> message = std::exchange(inbox_, std::nullopt);
  changed_.notify_all();
  return message;
}

Result<ProgramLink::Message> ProgramLink::await(Kind kind, Deadline deadline) {
  MUSTER_ASSIGN(std::optional<Message> message, next(deadline));
  if (!message) return failed(lost(deadline_exceeded("it has not answered in time")));
  if (message->frame.kind != kind)
    return failed(lost(data_loss("answers with a frame of kind " +
                                 std::to_string(static_cast<int>(message->frame.kind)) + " where " +
                                 std::to_string(static_cast<int>(kind)) + " is due")));
  return *std::move(message);
}

Status ProgramLink::meet(const World& world, Deadline deadline) {
  return greet(write_world(world), false, deadline);
}

Status ProgramLink::meet(const Federation& federation, Deadline deadline) {
  return greet(write_federation(federation), true, deadline);
}

Status ProgramLink::greet(const Frame& greeting, bool of_clients, Deadline deadline) {
  {
    MutexLock lock(mutex_);
    const auto here = [this]() MUSTER_REQUIRES(mutex_) { return connected_; };
    if (!changed_.wait_until(lock, deadline, here))
      return failed(internal_error(
          of_clients
              ? "no program has connected: does the command of the pod's first container call muster.serve()?"
              : "no program has connected: does the command of the pod's first container call "
                "muster.init() (muster_open() in C)?"));
  }
  MUSTER_ASSIGN(const Message hello, await(Kind::kHello, deadline));
  if (hello.frame.numbers[0] != kProtocol)
    return failed(invalid_argument("the program has muster " + text_of(hello.body) +
                                   ", which speaks another protocol than this worker of " MUSTER_VERSION
                                   "; install muster==" MUSTER_VERSION " in its image"));
  part_ = static_cast<Part>(std::clamp<std::int64_t>(hello.frame.numbers[1], 0, 2));
  if (of_clients != (part_ == Part::kClient))
    return failed(invalid_argument(
        of_clients ? "the program is one of a DistributedJob; for the clients of a FederatedRound it calls "
                     "muster.serve()"
                   : "the program calls muster.serve(), which is for the clients of a FederatedRound; in a "
                     "DistributedJob it calls muster.init()"));
  MUSTER_TRY(tell(greeting, bytes_of(MUSTER_VERSION)));
  const Status registered = register_model(deadline);
  return registered ? registered : Status(failed(registered.error()));
}

Status ProgramLink::register_model(Deadline deadline) {
  MUSTER_ASSIGN(const Message tensors, await(Kind::kTensors, deadline));
  MUSTER_ASSIGN(model_.tensors, read_tensors(tensors.body));
  model_.parameters = 0;
  for (const TensorShape& tensor : model_.tensors) {
    if (part_ == Part::kJob && tensor.type != Type::kFloat32)
      return invalid_argument("tensor " + words(tensor) +
                              " cannot be trained in a job: its values are float32");
    model_.parameters += elements_of(tensor);
  }
  plan_ = plan_memory(static_cast<std::size_t>(model_.parameters), options_.riders);
  if (plan_.bytes > options_.memory_max)
    return invalid_argument(
        "the program's model has " + std::to_string(model_.parameters) + " parameters, which take " +
        std::to_string(plan_.bytes >> 20) + " MiB with their gradient; this pod may take " +
        std::to_string(options_.memory_max >> 20) +
        " MiB: raise spec.training.program.resources.limits.memory, or use a smaller model");
  {
    const MutexLock lock(mutex_);
    state_of_ = plan_.parameters;
  }
  MUSTER_ASSIGN(memory_, SealedMemory::make(kMemoryPurpose, plan_.bytes));
  MUSTER_TRY(tell({.kind = Kind::kMemory,
                   .numbers = {model_.parameters, static_cast<std::int64_t>(plan_.gradient),
                               static_cast<std::int64_t>(plan_.bytes)}},
                  {}, memory_.descriptor()));
  MUSTER_ASSIGN(const Message ready, await(Kind::kReady, deadline));
  model_.examples = ready.frame.numbers[0];
  model_.batch_size = ready.frame.numbers[1];
  model_.fingerprint = ready.frame.numbers[2];
  model_.optimizer = text_of(ready.body);
  if (part_ != Part::kJob) return {};
  if (model_.examples < 1 || model_.examples > kExamplesMax)
    return invalid_argument("the program tells of " + std::to_string(model_.examples) +
                            " examples; a dataset has from 1 to " + std::to_string(kExamplesMax));
  return {};
}

std::span<float> ProgramLink::parameters() const { return memory_.floats(0, plan_.parameters); }
std::span<float> ProgramLink::gradient() const {
  return memory_.floats(plan_.gradient, plan_.parameters + options_.riders);
}

// Until it answers. What it tells without having been asked for it leads nowhere.
void ProgramLink::pass_on(const Ready& ready, Deadline deadline) {
  for (;;) {
    std::vector<Range> told;
    {
      read(deadline);
      const MutexLock lock(mutex_);
      told.swap(final_);
      if (inbox_ || closed_ || told.empty()) return;  // await() looks why
    }
    for (const Range& range : told)
      if (ready) ready(static_cast<std::size_t>(range.first), static_cast<std::size_t>(range.size));
  }
}

Result<double> ProgramLink::gradient_of(std::span<const std::int64_t> rows, const Ready& ready,
                                        std::int64_t tell_from) {
  batch_.tell_from = ready ? tell_from : 0;
  MUSTER_TRY(tell(write_batch(batch_, rows.size()), std::as_bytes(rows)));
  const Deadline deadline = deadline_after(options_.answer);
  pass_on(ready, deadline);
  MUSTER_ASSIGN(const Message answer, await(Kind::kGradient, deadline));
  if (rows.empty()) return 0.0;
  const MutexLock lock(mutex_);
  if (answer.frame.numbers[0] != 0) {
    loss_ = answer.frame.reals[0];
  } else if (told_loss_) {
    loss_ = *told_loss_;
  }
  told_loss_.reset();
  return loss_;
}

Status ProgramLink::step() {
  MUSTER_TRY(tell({.kind = Kind::kStep}, {}));
  MUSTER_TRY(await(Kind::kStepped, deadline_after(options_.answer)));
  return {};
}

Result<std::vector<std::byte>> ProgramLink::state() {
  MUSTER_TRY(tell({.kind = Kind::kGiveState}, {}));
  MUSTER_ASSIGN(Message answer, await(Kind::kState, deadline_after(options_.answer)));
  return std::move(answer.body);
}

Status ProgramLink::take(std::span<const std::byte> state) { return tell({.kind = Kind::kTakeState}, state); }

void ProgramLink::end(int exit_code, const std::string& words, milliseconds patience) {
  std::int64_t reports = 0;
  {
    MutexLock lock(mutex_);
    const auto here = [this]() MUSTER_REQUIRES(mutex_) { return connected_ || closed_; };
    if (!changed_.wait_for(lock, patience, here) || closed_) return;
    reports = reports_;
  }
  const std::string cut = words.substr(0, kTextMax);
  const MutexLock lock(sending_);
  static_cast<void>(channel_->send({.kind = Kind::kEnd, .numbers = {exit_code, reports}}, bytes_of(cut),
                                   deadline_after(Channel::kFrameTime)));
}

std::optional<double> ProgramLink::told_accuracy() {
  const MutexLock lock(mutex_);
  return std::exchange(told_accuracy_, std::nullopt);
}

std::int64_t ProgramLink::reports() {
  const MutexLock lock(mutex_);
  return reports_;
}

bool ProgramLink::is_connected() {
  const MutexLock lock(mutex_);
  return connected_;
}

bool ProgramLink::gone() {
  const MutexLock lock(mutex_);
  return closed_.has_value();
}

}  // namespace muster::program
