// worker/program/abi_job.cc: the program's end of the connection
#include "worker/program/abi_job.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "pod/pod_contract.h"

namespace muster::program {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kConnectTime{120};  // the worker's container starts first, but may be slow to listen
constexpr seconds kSilence{60};       // of a worker that tells every two seconds that it lives
constexpr double kLossMax = 1e100;    // what an aggregator counts (ToldByClients)
constexpr double kPercentMax = 100;
constexpr double kRounding = 1e-6;
constexpr milliseconds kLook{250};  // how soon a wish to stop is seen

std::string text_of(const std::vector<std::byte>& body) {
  return {reinterpret_cast<const char*>(body.data()), body.size()};
}

std::string text_of(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", number);  // NOLINT: {fmt} is not in this library
  return text.data();
}

Status tell_stop(muster_job& job) {
  if (!job.stop || job.stop_told || !job.channel) return {};
  job.stop_told = true;
  return job.channel->send({.kind = Kind::kStop}, {}, deadline_after(kSendTime));
}

}  // namespace

// A kubelet makes them the container's termination message.
void write_last_words(const std::string& words) {
  const char* told = std::getenv("MUSTER_TERMINATION_LOG");
  std::ofstream file(told == nullptr || *told == '\0' ? "/dev/termination-log" : told, std::ios::trunc);
  file << words;
}

int fail(muster_job& job, std::string why) {
  job.error = std::move(why);
  return -1;
}

Status check_measured(double loss, double& accuracy) {
  if (accuracy > 1 && accuracy <= 1 + kRounding) accuracy = 1;
  if (accuracy < 0 || accuracy > 1) {
    const bool percent = accuracy > 1 && accuracy <= kPercentMax;
    return invalid_argument("accuracy is " + text_of(accuracy) + ", but it is a share, 0 to 1; " +
                            (percent ? "divide by 100" : "tell what part of the examples was right"));
  }
  if (std::abs(loss) > kLossMax) {
    return invalid_argument("loss is " + text_of(loss) +
                            ", of which no mean can be made; lower the learning rate, or tell NaN for none");
  }
  return {};
}

int result(muster_job& job, const Status& status) {
  if (status) return 0;
  if (job.ended) return fail(job, job.words);
  const bool gone = job.begun && status.error().code == Code::kUnavailable;
  return fail(job, gone ? "the worker beside this program is gone: " + status.error().message +
                              "; the log of container muster says why"
                        : status.error().message);
}

// The next frame that says something; nullopt: none until `deadline`.
Result<std::optional<Frame>> receive(muster_job& job, Deadline deadline) {
  for (;;) {
    MUSTER_TRY(tell_stop(job));
    MUSTER_ASSIGN(const std::optional<Frame> frame,
                  job.channel->receive(std::min(deadline, deadline_after(kLook))));
    const auto now = std::chrono::steady_clock::now();
    if (frame) job.heard = now;
    if (!frame && now - job.heard > kSilence)
      return unavailable("the worker beside this program has been silent for a minute");
    if (!frame && now >= deadline) return std::optional<Frame>();
    if (!frame || frame->kind == Kind::kAlive) continue;
    MUSTER_TRY(job.channel->receive_body(frame->body_bytes, job.body, deadline_after(kBeginTime)));
    if (frame->kind == Kind::kEnd) {
      job.words = text_of(job.body);
      job.reports_heard = frame->numbers[1];
      job.ended = static_cast<std::int32_t>(std::clamp<std::int64_t>(frame->numbers[0], 0, 255));
      if (job.ended != 0) {
        write_last_words(kEndingWord + job.words);
      } else if (!job.words.empty()) {
        write_last_words(job.words);
      }
    }
    return frame;
  }
}

// The frame of this kind, which is due.
Result<Frame> expect(muster_job& job, Kind kind) {
  job.heard = std::chrono::steady_clock::now();
  MUSTER_ASSIGN(const std::optional<Frame> frame, receive(job, deadline_after(kBeginTime)));
  if (!frame) return deadline_exceeded("the worker beside this program has no place in its job yet");
  if (frame->kind == Kind::kEnd) return aborted(job.words);
  if (frame->kind != kind)
    return data_loss(
        "the worker beside this program speaks of other things than this library; use the package of "
        "the worker's version");
  return *frame;
}

int register_tensor(muster_job& job, const char* name, Type type, int32_t dimensions, const int64_t* shape) {
  if (!job.memory.bytes().empty())
    return fail(job, "muster_register_tensor: the memory is allocated already");
  if (name == nullptr || dimensions < 0 || (dimensions > 0 && shape == nullptr))
    return fail(job, "muster_register_tensor: name and shape are missing");
  job.tensors.push_back({.name = name, .shape = {shape, shape + dimensions}, .type = type});
  return 0;
}

int answer(muster_job& job, std::int32_t question, const char* name, const Frame& frame,
           std::span<const std::byte> body) {
  if (job.due != question)
    return fail(
        job, std::string(name) + ": nothing like it is due; call it once, after the event that asks for it");
  job.due = MUSTER_NOTHING;
  if (!job.channel) return 0;
  return result(job, job.channel->send(frame, body, deadline_after(kBeginTime)));
}

Status connect(muster_job& job, const char* path, Part part) {
  job.part = part;
  const Deadline deadline = deadline_after(kConnectTime);
  for (;;) {
    auto socket = connect_to(path);
    if (socket) {
      job.channel.emplace(*std::move(socket));
      break;
    }
    if (socket.error().code != Code::kUnavailable || std::chrono::steady_clock::now() >= deadline)
      return socket.error().in("no worker beside this program");
    std::this_thread::sleep_for(milliseconds(20));
  }
  MUSTER_TRY(
      job.channel->send({.kind = Kind::kHello, .numbers = {kProtocol, static_cast<std::int64_t>(part)}},
                        bytes_of(MUSTER_VERSION), deadline_after(kSendTime)));
  const bool client = part == Part::kClient;
  MUSTER_ASSIGN(const Frame frame, expect(job, client ? Kind::kFederation : Kind::kWorld));
  if (frame.numbers[7] != kProtocol)
    return failed_precondition("this program has muster " MUSTER_VERSION ", the worker beside it " +
                               text_of(job.body) + "; install the worker's version in the image");
  if (client) {
    job.federation = read_federation(frame);
  } else {
    job.world = read_world(frame);
  }
  return {};
}

}  // namespace muster::program
