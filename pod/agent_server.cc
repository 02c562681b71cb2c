// pod/agent_server.cc: Agent on gRPC's callback API; one thread feeds all watchers
#include "pod/agent_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "common/platform/mutex.h"
#include "pod/assignment_difference.h"
#include "pod/guarded_port.h"
#include "pod/status_limits.h"
#include "proto/control.grpc.pb.h"

namespace muster {
namespace {

using control::v1::AgentStatus;
using control::v1::Assignment;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kFlushTime{600};       // for the last status to leave; then streams are cut
constexpr std::size_t kMemoryMax = 64 << 20;  // of all connections; a roster of 1,000 has 100 KiB
constexpr int kPingIntervalMs = 1'000;        // operators may ping this often to notice a frozen pod

grpc::Status to_grpc(const Error& error) {
  return {static_cast<grpc::StatusCode>(error.code), error.message};
}

// gRPC would refuse a message that is too long, and the operator would hear nothing: an error may hold a name
// of any length out of a user's file.
void bound(AgentStatus& status) {
  status.set_message(clip(status.message(), kStatusMessageBytesMax));
  auto& warnings = *status.mutable_warnings();
  if (warnings.size() > kStatusWarningsMax)
    warnings.DeleteSubrange(kStatusWarningsMax, warnings.size() - kStatusWarningsMax);
  for (std::string& warning : warnings) warning = clip(warning, kStatusWarningBytesMax);
}

class Pump;

// One Watch stream. Only the pump starts its operations, so it lives until the pump has called Finish.
class Watcher final : public grpc::ServerWriteReactor<AgentStatus> {
 public:
  explicit Watcher(Pump& pump) : pump_(pump) {}
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { delete this; }

  // Guarded by the pump's mutex, except `out`, which belongs to the write under way.
  bool writing = false;
  bool broken = false;
  std::uint64_t sent_version = 0;
  std::uint64_t sent_phase_version = 0;
  Instant next_write{};
  AgentStatus out;

 private:
  Pump& pump_;
};

// Holds the newest status and writes it to the watchers as they may have it.
class Pump {
 public:
  explicit Pump(milliseconds interval) : interval_(interval), thread_([this] { run(); }) {}
  ~Pump() {
    begin_stop();
    thread_.join();
  }

  void publish(AgentStatus status) {
    const MutexLock lock(mutex_);
    if (stopping_) return;
    ++version_;
    if (status.phase() != status_.phase()) phase_version_ = version_;
    status_ = std::move(status);
    wake_.notify_one();
  }

  Watcher* add() {
    auto* watcher = new Watcher(*this);  // gRPC owns it: OnDone deletes it
    const MutexLock lock(mutex_);
    if (stopping_) {
      watcher->Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE, "the pod is ending"));
    } else {
      watchers_.push_back(watcher);
      wake_.notify_one();
    }
    return watcher;
  }

  void changed(Watcher& watcher, bool write_done, bool broken) {
    const MutexLock lock(mutex_);
    if (write_done) watcher.writing = false;
    if (broken) watcher.broken = true;
    wake_.notify_one();
  }

  // From here on every watcher gets what it has not seen yet, and then the end of its stream.
  void begin_stop() {
    const MutexLock lock(mutex_);
    stopping_ = true;
    wake_.notify_one();
  }

 private:
  void run() {
    MutexLock lock(mutex_);
    while (!stopping_ || !watchers_.empty()) {
      const Instant now = steady_clock::now();
      std::vector<Watcher*> write;
      std::vector<Watcher*> finish;
      Instant next = now + std::chrono::hours(1);
      std::erase_if(watchers_, [&](Watcher* watcher) MUSTER_REQUIRES(mutex_) {
        return decide(*watcher, now, write, finish, next);
      });
      if (write.empty() && finish.empty()) {
        if (!stopping_ || !watchers_.empty()) wake_.wait_until(lock, next);
        continue;
      }
      lock.unlock();
      for (Watcher* watcher : write) watcher->StartWrite(&watcher->out);
      for (Watcher* watcher : finish) watcher->Finish(grpc::Status::OK);
      lock.lock();
    }
  }

  // Whether the watcher leaves the list; `next` becomes the earliest instant at which this may change.
  bool decide(Watcher& watcher, Instant now, std::vector<Watcher*>& write, std::vector<Watcher*>& finish,
              Instant& next) MUSTER_REQUIRES(mutex_) {
    if (watcher.writing) return false;  // of a reader that stands still, the server's shutdown takes care
    const bool fresh = watcher.sent_version < version_;
    if (watcher.broken || (stopping_ && !fresh)) {
      finish.push_back(&watcher);
      return true;
    }
    if (!fresh) return false;
    const bool urgent = stopping_ || watcher.sent_phase_version < phase_version_;
    if (!urgent && now < watcher.next_write) {
      next = std::min(next, watcher.next_write);
      return false;
    }
    watcher.out = status_;
    watcher.writing = true;
    watcher.sent_version = version_;
    watcher.sent_phase_version = phase_version_;
    watcher.next_write = now + interval_;
    write.push_back(&watcher);
    return false;
  }

  const milliseconds interval_;
  Mutex mutex_;
  Condition wake_;
  AgentStatus status_ MUSTER_GUARDED_BY(mutex_);
  std::uint64_t version_ MUSTER_GUARDED_BY(mutex_) = 0;
  std::uint64_t phase_version_ MUSTER_GUARDED_BY(mutex_) = 0;
  bool stopping_ MUSTER_GUARDED_BY(mutex_) = false;
  std::list<Watcher*> watchers_ MUSTER_GUARDED_BY(mutex_);
  std::thread thread_;
};

void Watcher::OnWriteDone(bool ok) { pump_.changed(*this, true, !ok); }
void Watcher::OnCancel() { pump_.changed(*this, false, true); }

class Refusal final : public grpc::ServerWriteReactor<AgentStatus> {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

class GrpcAgentServer final : public AgentServer, private control::v1::Agent::CallbackService {
 public:
  explicit GrpcAgentServer(Options options) : options_(std::move(options)), pump_(options_.interval) {
    AgentStatus waiting;
    waiting.set_phase(control::v1::PHASE_WAITING);
    waiting.set_pod_uid(options_.pod_uid);
    pump_.publish(std::move(waiting));
  }
  ~GrpcAgentServer() override { stop(); }

  Status listen() {
    grpc::ServerBuilder builder;
    MUSTER_ASSIGN(port_,
                  GuardedPort::open({.ip = options_.ip,
                                     .port = options_.port,
                                     .credentials = options_.credentials,
                                     .permitted = [](const PeerName& name) { return name.is_operator(); },
                                     .refused = options_.refused,
                                     .patience = options_.stranger_patience},
                                    builder));
    builder.SetResourceQuota(grpc::ResourceQuota("agent").Resize(kMemoryMax));
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingIntervalMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.RegisterService(static_cast<control::v1::Agent::CallbackService*>(this));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return internal_error("gRPC cannot serve the operator");
    port_->start();
    return {};
  }

  [[nodiscard]] int port() const override { return port_->port(); }

  Result<Assignment> wait_for_assignment(std::int64_t after, Deadline deadline) override {
    MutexLock lock(mutex_);
    const auto has_come = [&]() MUSTER_REQUIRES(mutex_) {
      return assignment_ && assignment_->membership() > after;
    };
    assigned_.wait_until(lock, deadline, [&]() MUSTER_REQUIRES(mutex_) { return has_come() || cancelled_; });
    if (cancelled_) return aborted("the wait for an assignment was ended");
    if (!has_come()) {
      return deadline_exceeded(
          "no assignment came from the operator in time; is muster-operator running and may it reach this "
          "pod?");
    }
    return *assignment_;
  }

  std::int64_t membership() override {
    const MutexLock lock(mutex_);
    return assignment_ ? assignment_->membership() : 0;
  }

  void cancel() override {
    const MutexLock lock(mutex_);
    cancelled_ = true;
    assigned_.notify_all();
  }

  void publish(AgentStatus status) override {
    if (status.membership() == 0) {
      const MutexLock lock(mutex_);
      if (assignment_) status.set_membership(assignment_->membership());
    }
    status.set_pod_uid(options_.pod_uid);
    bound(status);
    pump_.publish(std::move(status));
  }

  void stop() override {
    cancel();
    pump_.begin_stop();
    const MutexLock lock(stop_mutex_);
    if (server_ == nullptr || std::exchange(stopped_, true)) return;
    port_->stop();
    server_->Shutdown(std::chrono::system_clock::now() + kFlushTime);
  }

 private:
  grpc::ServerUnaryReactor* Configure(grpc::CallbackServerContext* context, const Assignment* request,
                                      control::v1::ConfigureReply* /*reply*/) override {
    auto* reactor = context->DefaultReactor();
    if (const grpc::Status known = port_->check(*context); !known.ok()) {
      reactor->Finish(known);
      return reactor;
    }
    const Status status = assign(*request);
    reactor->Finish(status ? grpc::Status::OK : to_grpc(status.error()));
    return reactor;
  }

  grpc::ServerWriteReactor<AgentStatus>* Watch(grpc::CallbackServerContext* context,
                                               const control::v1::WatchRequest* request) override {
    if (const grpc::Status known = port_->check(*context); !known.ok()) return new Refusal(known);
    if (const Status welcome = means_this_pod(*request); !welcome)
      return new Refusal(to_grpc(welcome.error()));
    return pump_.add();
  }

  Status means_this_pod(const control::v1::WatchRequest& request) {
    MUSTER_TRY(is_this_pod(request.pod_uid(), "the follower"));
    const std::int64_t present = membership();
    if (request.membership() == 0 || present <= request.membership()) return {};
    return failed_precondition(fmt::format("this pod is of membership {}, the follower knows of {} only",
                                           present, request.membership()));
  }

  // An address that is used again has another pod. Empty: a caller that names none.
  [[nodiscard]] Status is_this_pod(const std::string& uid, std::string_view who) const {
    if (uid.empty() || uid == options_.pod_uid) return {};
    return Error{Code::kPermissionDenied,
                 fmt::format("{} means pod \"{}\", this is pod \"{}\"", who, uid, options_.pod_uid)};
  }

  Status assign(const Assignment& request) {
    MUSTER_ASSIGN(const bool superseded, take(request));
    if (superseded && options_.superseded) options_.superseded(request.membership());
    return {};
  }

  // Whether the assignment took the place of another.
  Result<bool> take(const Assignment& request) {
    const MutexLock lock(mutex_);
    MUSTER_TRY(addressed_to_this_pod(request));
    if (request.membership() < 1) return invalid_argument("membership: must be at least 1");
    const std::int64_t present = assignment_ ? assignment_->membership() : 0;
    if (request.membership() < present) {
      return failed_precondition(fmt::format("the assignment is of membership {}, this pod is of {} already",
                                             request.membership(), present));
    }
    if (request.membership() == present) {
      const auto other = difference(*assignment_, request);
      if (!other) return false;
      return failed_precondition(fmt::format(
          "this pod has an assignment of membership {} already, with another {}; it keeps that one: "
          "delete the pod to have it replaced",
          present, *other));
    }
    if (options_.accept) MUSTER_TRY(options_.accept(request));
    assignment_ = request;
    assigned_.notify_all();
    return present != 0;
  }

  [[nodiscard]] Status addressed_to_this_pod(const Assignment& request) const {
    if (request.uid() != options_.job_uid) {
      return Error{Code::kPermissionDenied,
                   fmt::format("the assignment is of the object with uid \"{}\", this pod belongs to \"{}\"",
                               request.uid(), options_.job_uid)};
    }
    MUSTER_TRY(is_this_pod(request.pod_uid(), "the assignment"));
    if (!request.has_worker()) return {};
    const auto& worker = request.worker();
    if (worker.rank() < 0 || worker.rank() >= worker.roster_size())
      return invalid_argument(
          fmt::format("rank {} is not one of the roster's {} ranks", worker.rank(), worker.roster_size()));
    const std::string& member = worker.roster(worker.rank()).pod_uid();
    if (member != options_.pod_uid) {
      return Error{Code::kPermissionDenied,
                   fmt::format("the roster names pod \"{}\" as rank {}, this pod is \"{}\"", member,
                               worker.rank(), options_.pod_uid)};
    }
    return {};
  }

  Options options_;
  Pump pump_;
  Mutex mutex_;
  Condition assigned_;
  std::optional<Assignment> assignment_ MUSTER_GUARDED_BY(mutex_);
  bool cancelled_ MUSTER_GUARDED_BY(mutex_) = false;
  Mutex stop_mutex_;
  bool stopped_ MUSTER_GUARDED_BY(stop_mutex_) = false;
  std::unique_ptr<GuardedPort> port_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<AgentServer>> AgentServer::start(Options options) {
  auto server = std::make_unique<GrpcAgentServer>(std::move(options));
  MUSTER_TRY(server->listen());
  return std::unique_ptr<AgentServer>(std::move(server));
}

}  // namespace muster
