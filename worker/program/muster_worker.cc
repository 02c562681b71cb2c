// worker/program/muster_worker.cc: the program's end of the protocol behind a C ABI
#include "worker/program/muster_worker.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "worker/program/abi_job.h"

namespace mp = muster::program;
using mp::answer;
using mp::bytes_of;
using mp::expect;
using mp::fail;
using mp::guarded;
using mp::kBeginTime;
using mp::kSendTime;
using mp::receive;
using mp::result;
using muster::Status;
using std::chrono::milliseconds;

namespace {

constexpr std::int64_t kUsualBatch = 64;

void begin_alone(muster_job& job, const muster_training& told) {
  job.world = {.batch_size = told.batch_size > 0 ? told.batch_size : kUsualBatch,
               .epochs = std::max<std::int64_t>(told.epochs, 1),
               .seed = told.seed};
  job.alone.emplace(job.world, told.examples);
}

void show(const mp::Batch& batch, muster_event& event) {
  event.step = batch.step;
  event.total_steps = batch.total_steps;
  event.epoch = batch.epoch;
}

void show_end(muster_job& job, muster_event& event) {
  event.kind = MUSTER_END;
  event.exit_code = job.ended.value_or(0);
  event.words = job.words.c_str();
}

int next_alone(muster_job& job, muster_event& event) {
  const mp::Alone::Ask ask = job.alone->next(job.stop);
  show(ask.batch, event);
  if (ask.kind == mp::Kind::kEnd) {
    job.ended = ask.exit_code;
    show_end(job, event);
    return 0;
  }
  event.kind = job.due = ask.kind == mp::Kind::kBatch ? MUSTER_BATCH : MUSTER_STEP;
  event.rows = ask.rows.data();
  event.row_count = ask.rows.size();
  return 0;
}

int show_batch(muster_job& job, const mp::Frame& frame, muster_event& event) {
  const mp::Batch batch = mp::read_batch(frame);
  show(batch, event);
  job.world.rank = batch.rank;
  job.world.size = batch.size;
  job.world.membership = batch.membership;
  event.kind = MUSTER_BATCH;
  job.buckets.begin(batch.tell_from);
  event.wants_buckets = job.buckets.are_wanted() ? 1 : 0;
  event.rows = reinterpret_cast<const std::int64_t*>(job.body.data());
  event.row_count = job.body.size() / sizeof(std::int64_t);
  for (std::size_t i = 0; i < event.row_count; ++i)
    if (event.rows[i] < 0 || event.rows[i] >= job.examples)
      return fail(job, "the worker beside this program names an example that the dataset does not have");
  return 0;
}

int show_frame(muster_job& job, const mp::Frame& frame, muster_event& event) {
  switch (frame.kind) {
    case mp::Kind::kBatch:
      if (show_batch(job, frame, event) != 0) return -1;
      break;
    case mp::Kind::kStep: event.kind = MUSTER_STEP; break;
    case mp::Kind::kGiveState: event.kind = MUSTER_GIVE_STATE; break;
    case mp::Kind::kRound:
      job.round = mp::read_round(frame);
      if (job.watch) job.watch->training(true);
      event.kind = MUSTER_ROUND;
      break;
    case mp::Kind::kTakeState:
      event.kind = MUSTER_TAKE_STATE;
      event.state = job.body.data();
      event.state_bytes = job.body.size();
      break;
    case mp::Kind::kEnd: show_end(job, event); break;
    default:
      return fail(
          job,
          "the worker beside this program speaks of other things than this library; use the package of the "
          "worker's version");
  }
  if (event.kind != MUSTER_TAKE_STATE && event.kind != MUSTER_END) job.due = event.kind;
  return 0;
}

int next_of_job(muster_job& job, std::int64_t timeout_ms, muster_event& event) {
  constexpr std::int64_t kEver = std::int64_t{1000} * 60 * 60 * 24 * 365;
  const auto deadline =
      muster::deadline_after(milliseconds(timeout_ms < 0 ? kEver : std::min(timeout_ms, kEver)));
  for (;;) {
    const auto frame = receive(job, deadline);
    if (!frame) return result(job, frame.error());
    if (!*frame) return 0;
    if ((*frame)->kind != mp::Kind::kBatch || !job.body.empty()) return show_frame(job, **frame, event);
    // Fewer examples were left than there are ranks. The program is in here meanwhile, and not in the memory.
    const Status sent =
        job.channel->send({.kind = mp::Kind::kGradient}, {}, muster::deadline_after(kBeginTime));
    if (!sent) return result(job, sent);
  }
}

// Of a program that was compiled before there were any, none.
std::int64_t fingerprint_of(const muster_training& training) {
  if (training.size < offsetof(muster_training, fingerprint) + sizeof training.fingerprint) return 0;
  return std::bit_cast<std::int64_t>(training.fingerprint);
}

}  // namespace

extern "C" {

const char* muster_version(void) { return MUSTER_VERSION; }

muster_job* muster_open(void) {
  muster_job* job = new (std::nothrow) muster_job;
  guarded(job, [](muster_job& made) {
    const char* path = std::getenv("MUSTER_SOCKET");
    return path == nullptr || *path == '\0' ? 0 : result(made, mp::connect(made, path, mp::Part::kJob));
  });
  return job;
}

void muster_close(muster_job* job) { delete job; }

const char* muster_last_error(const muster_job* job) {
  return job == nullptr ? "out of memory" : job->error.c_str();
}

int muster_get_world(const muster_job* job, muster_world* world) {
  if (job == nullptr || world == nullptr || world->size < sizeof(muster_world)) return -1;
  const mp::World& known = job->world;
  *world = {.size = world->size,
            .rank = known.rank,
            .ranks = known.size,
            .membership = known.membership,
            .batch_size = known.batch_size,
            .epochs = known.epochs,
            .seed = known.seed,
            .servers_step = known.place == mp::Place::kServers ? 1 : 0};
  return 0;
}

int muster_register_tensor(muster_job* job, const char* name, int32_t dimensions, const int64_t* shape) {
  return guarded(job, [&](muster_job& made) {
    return mp::register_tensor(made, name, mp::Type::kFloat32, dimensions, shape);
  });
}

int muster_allocate(muster_job* job) {
  return guarded(job, [](muster_job& made) {
    if (!made.memory.bytes().empty()) return fail(made, "muster_allocate: call it once");
    const std::vector<std::byte> tensors = mp::write_tensors(made.tensors);
    const auto read = mp::read_tensors(tensors);  // what the worker would say of them
    if (!read || tensors.size() > mp::kTensorsMax)
      return fail(made, read ? "the names of the tensors are too long" : read.error().message);
    std::size_t count = 0;
    for (const mp::TensorShape& tensor : made.tensors)
      count += static_cast<std::size_t>(mp::elements_of(tensor));
    made.plan = mp::plan_memory(count, 0);
    made.buckets.know(made.tensors);
    if (!made.channel) {
      auto memory = muster::SealedMemory::make(mp::kMemoryPurpose, made.plan.bytes);
      if (!memory) return result(made, memory.error());
      made.memory = *std::move(memory);
      return 0;
    }
    Status sent =
        made.channel->send({.kind = mp::Kind::kTensors}, tensors, muster::deadline_after(kSendTime));
    if (!sent) return result(made, sent);
    const auto told = expect(made, mp::Kind::kMemory);
    if (!told) return result(made, told.error());
    const auto& numbers = told->numbers;
    const auto bytes = static_cast<std::size_t>(numbers[2]);
    if (numbers[0] != static_cast<std::int64_t>(count) ||
        numbers[1] != static_cast<std::int64_t>(made.plan.gradient) || bytes < made.plan.bytes)
      return fail(
          made,
          "the worker beside this program shares other memory than this library expects; use the package "
          "of the worker's version");
    auto memory = muster::SealedMemory::map(made.channel->take_descriptor(), bytes);
    if (!memory) return result(made, memory.error());
    made.memory = *std::move(memory);
    return 0;
  });
}

float* muster_parameters(const muster_job* job, size_t* count) {
  if (job == nullptr || job->memory.bytes().empty()) return nullptr;
  if (count != nullptr) *count = job->plan.parameters;
  return job->memory.floats(0, job->plan.parameters).data();
}

float* muster_gradient(const muster_job* job, size_t* count) {
  if (job == nullptr || job->memory.bytes().empty()) return nullptr;
  if (count != nullptr) *count = job->plan.parameters;
  return job->memory.floats(job->plan.gradient, job->plan.parameters).data();
}

int muster_begin(muster_job* job, const muster_training* training) {
  return guarded(job, [training](muster_job& made) {
    if (training == nullptr || training->size < offsetof(muster_training, fingerprint))
      return fail(made, "muster_begin: training is missing");
    if (made.memory.bytes().empty() || made.begun || made.part != mp::Part::kJob)
      return fail(made, "muster_begin: call it once, after muster_allocate");
    if (training->examples < 1 || training->examples > mp::kExamplesMax)
      return fail(made, "muster_begin: a dataset has from 1 to two thousand million examples");
    if (training->batch_size < 0 || training->batch_size > (1 << 24) || training->epochs < 0 ||
        training->seed < 0)
      return fail(
          made,
          "muster_begin: batch_size, epochs and seed are at least 0, a batch is no more than 16 million");
    made.begun = true;
    made.examples = training->examples;
    if (!made.channel) {
      begin_alone(made, *training);
      return 0;
    }
    const std::string optimizer = training->optimizer == nullptr ? "" : training->optimizer;
    return result(
        made,
        made.channel->send({.kind = mp::Kind::kReady,
                            .numbers = {training->examples, training->batch_size, fingerprint_of(*training)}},
                           bytes_of(optimizer), muster::deadline_after(kSendTime)));
  });
}

int muster_next(muster_job* job, int64_t timeout_ms, muster_event* event) {
  return guarded(job, [&](muster_job& made) {
    if (event == nullptr || event->size < sizeof(muster_event))
      return fail(made, "muster_next: event is missing");
    muster_event nothing{};
    nothing.size = event->size;
    *event = nothing;
    if (made.ended) {
      show_end(made, *event);
      return 0;
    }
    if (!made.begun) return fail(made, "muster_next: call muster_begin first");
    if (made.due != MUSTER_NOTHING) return fail(made, "muster_next: the event before waits for its answer");
    return made.channel ? next_of_job(made, timeout_ms, *event) : next_alone(made, *event);
  });
}

int muster_bucket_ready(muster_job* job, int32_t first, int32_t count) {
  return guarded(job, [&](muster_job& made) {
    if (made.due != MUSTER_BATCH)
      return fail(made, "muster_bucket_ready: no batch is due whose gradient it could be of");
    const auto ranges = made.buckets.add(first, count);
    if (!ranges) return fail(made, "muster_bucket_ready: " + ranges.error().message);
    if (ranges->empty() || !made.channel) return 0;
    return result(made, made.channel->send({.kind = mp::Kind::kBuckets}, std::as_bytes(std::span(*ranges)),
                                           muster::deadline_after(kBeginTime)));
  });
}

int muster_gradient_ready(muster_job* job, double loss, int32_t has_loss) {
  return guarded(job, [&](muster_job& made) {
    return answer(made, MUSTER_BATCH, "muster_gradient_ready",
                  {.kind = mp::Kind::kGradient, .numbers = {has_loss != 0 ? 1 : 0}, .reals = {loss}});
  });
}

int muster_stepped(muster_job* job) {
  return guarded(job, [](muster_job& made) {
    return answer(made, MUSTER_STEP, "muster_stepped", {.kind = mp::Kind::kStepped});
  });
}

int muster_give_state(muster_job* job, const void* state, size_t bytes) {
  return guarded(job, [&](muster_job& made) {
    return answer(made, MUSTER_GIVE_STATE, "muster_give_state", {.kind = mp::Kind::kState},
                  {static_cast<const std::byte*>(state), bytes});
  });
}

int muster_report(muster_job* job, double loss, double accuracy) {
  return guarded(job, [&](muster_job& made) {
    if (const Status possible = mp::check_measured(loss, accuracy); !possible)
      return fail(made, "muster_report: " + possible.error().message);
    const std::int64_t told = (std::isnan(loss) ? 0 : 1) | (std::isnan(accuracy) ? 0 : 2);
    if (!made.channel || told == 0) return 0;
    const mp::Frame report{.kind = mp::Kind::kReport, .numbers = {told}, .reals = {loss, accuracy}};
    const Status sent = made.channel->send(report, {}, muster::deadline_after(kSendTime));
    ++made.reports;
    // After the end, the last words tell it, too.
    while (sent && made.ended && made.reports_heard < made.reports) {
      const auto again = receive(made, muster::deadline_after(kSendTime));
      if (!again) return result(made, again.error());
      if (!*again) return fail(made, "the worker beside this program did not take a report in time");
    }
    return result(made, sent);
  });
}

void muster_ask_stop(muster_job* job) {
  if (job != nullptr) job->stop = true;
}

}  // extern "C"
