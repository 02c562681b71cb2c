// device/shell/wire.cc: from the protocol's messages to the client's events
#include "device/shell/wire.h"

#include <algorithm>
#include <chrono>

#include "device/shell/transfer.h"

namespace muster::device {
namespace {

using federation::v1::CheckInReply;
using std::chrono::milliseconds;

constexpr int kReconnectMinMs = 100;  // gRPC's own default goes up to two minutes
constexpr int kReconnectMaxMs = 2'000;
constexpr int kKeepaliveMs = 20'000;  // an aggregator that vanished without a word is noticed
constexpr int kKeepaliveTimeoutMs = 20'000;

// gRPC has no macro for it; the argument goes before grpc_proxy, https_proxy and http_proxy of the
// environment.
constexpr const char* kHttpProxyArgument = "grpc.http_proxy";

// A time span off the wire, where any number may stand: a clock cannot be moved by it beyond its range.
constexpr milliseconds kRoundMax{86'400'000};  // the longest stragglers.deadlineSeconds
constexpr milliseconds kRestMax{600'000};
milliseconds bounded(std::int64_t ms, milliseconds most) {
  return milliseconds(std::clamp<std::int64_t>(ms, 0, most.count()));
}

learning::LocalSettings settings_of(const federation::v1::LocalSettings& told) {
  learning::LocalSettings settings{.proximal_mu = told.proximal_mu(),
                                   .control_variates = told.control_variates()};
  if (told.has_fairness_q()) settings.fairness_q = told.fairness_q();
  if (told.has_meta())
    settings.meta = {.alpha = told.meta().alpha(), .hessian_free = told.meta().hessian_free()};
  return settings;
}

}  // namespace

std::shared_ptr<grpc::Channel> make_channel(const std::string& address, const Credentials& credentials,
                                            const std::string& proxy) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMinMs);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMaxMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  if (!proxy.empty()) {
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY,
                     1);  // before expect() turns proxies off: gRPC takes the first
    arguments.SetString(kHttpProxyArgument, proxy);
  }
  Credentials::expect({.role = "aggregator", .index = 0, .uid = credentials.name().uid}, arguments);
  return grpc::CreateCustomChannel(address, credentials.for_channel(), arguments);
}

Event event_of(const grpc::Status& status, const CheckInReply& reply, Instant now) {
  if (!status.ok()) return CallFailed{error_of(status)};
  const CountedWord counted{.round = reply.counted_round(), .undecided = reply.undecided()};
  if (reply.has_done()) return ToldDone{reply.done().reason(), reply.done().failed(), counted};
  if (!reply.has_task()) return ToldToComeBack{bounded(reply.come_back().after_ms(), kRestMax), counted};
  const auto& task = reply.task();
  return GivenTask{{.round = task.round(),
                    .task_id = task.task_id(),
                    .model_bytes = task.model_bytes(),
                    .model_sha256 = task.model_sha256(),
                    .deadline = now + bounded(task.deadline_ms(), kRoundMax),
                    .settings = settings_of(task.settings()),
                    .serial = task.serial(),
                    .accept_partial = task.accept_partial()},
                   counted};
}

}  // namespace muster::device
