// aggregator/shell/federation_service.cc: one reactor a call, on gRPC's callback API
#include "aggregator/shell/federation_service.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <utility>

#include "common/base/host_port.h"
#include "proto/federation.grpc.pb.h"

namespace muster::agg {
namespace {

using federation::v1::CheckInReply;
using federation::v1::CheckInRequest;
using federation::v1::Chunk;
using federation::v1::DownloadRequest;
using federation::v1::UploadOffsetReply;
using federation::v1::UploadOffsetRequest;
using federation::v1::UploadReply;
using federation::v1::UploadRequest;
using std::chrono::milliseconds;

constexpr int kKeepaliveMs = 20'000;  // a client that froze or lost its network is noticed
constexpr int kKeepaliveTimeoutMs = 20'000;
constexpr int kPingIntervalMs = 5'000;   // clients may ping this often
constexpr milliseconds kFlushTime{500};  // for the last answers to leave
constexpr int kMessageBytesMax =
    static_cast<int>(kChunkBytesMax) + (64 << 10);  // a chunk and what is around it

// Held by the coordinator through a callback. Whichever of answer and cancellation comes first finishes the
// call.
class CheckInCall final : public grpc::ServerUnaryReactor {
 public:
  CheckInCall(Coordinator& coordinator, const Caller& caller, const CheckInRequest& request,
              CheckInReply* reply)
      : coordinator_(coordinator), client_(request.client()), reply_(reply) {
    // The callback's share keeps `state_` alive, not the call: after `finished` the call may be gone.
    auto held =
        coordinator_.check_in(caller, client_, milliseconds(std::max<std::int64_t>(0, request.hold_ms())),
                              [this, state = state_](CheckInReply answer) {
                                if (state->finished.exchange(true)) return;
                                *reply_ = std::move(answer);
                                Finish(grpc::Status::OK);
                              });
    if (!held) {
      if (!state_->finished.exchange(true)) Finish(to_grpc(held.error()));
      return;
    }
    state_->ticket = *held;
  }
  void OnCancel() override {
    const std::uint64_t ticket = state_->ticket;
    if (state_->finished.exchange(true)) return;
    coordinator_.leave(client_, ticket);
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  struct State {
    std::atomic<bool> finished = false;
    std::atomic<std::uint64_t> ticket = 0;
  };
  Coordinator& coordinator_;
  const ClientId client_;
  CheckInReply* const reply_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

class GrpcFederationServer final : public FederationServer,
                                   private federation::v1::Federation::CallbackService {
 public:
  GrpcFederationServer(Options options, Coordinator& coordinator)
      : options_(std::move(options)), coordinator_(coordinator) {}
  ~GrpcFederationServer() override {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kFlushTime);
  }

  Status listen() {
    const std::string address = host_port(options_.ip, options_.port);
    grpc::ServerBuilder builder;
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingIntervalMs);
    builder.SetMaxReceiveMessageSize(kMessageBytesMax);
    builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<federation::v1::Federation::CallbackService*>(this));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return already_exists(fmt::format(
          "cannot listen on {} for the clients: the port is in use or the address is not this machine's; "
          "end the other program or start this one with its pod's own MUSTER_POD_IP",
          address));
    }
    return {};
  }
  [[nodiscard]] int port() const override { return port_; }

 private:
  grpc::ServerUnaryReactor* CheckIn(grpc::CallbackServerContext* context, const CheckInRequest* request,
                                    CheckInReply* reply) override {
    const auto caller = caller_of(*context);
    if (!caller) return answer(*context, to_grpc(caller.error()));
    if (request->federation_uid() != options_.federation_uid) {
      coordinator_.count_refused(Refusal::kNotAClient);
      return answer(
          *context,
          {grpc::StatusCode::PERMISSION_DENIED,
           fmt::format("client {} is of federation \"{}\", this is the aggregator of \"{}\"; replace "
                       "its pod, which has an old address",
                       request->client(), request->federation_uid(), options_.federation_uid)});
    }
    return new CheckInCall(coordinator_, *caller, *request, reply);  // gRPC owns it: OnDone deletes it
  }
  grpc::ServerWriteReactor<Chunk>* Download(grpc::CallbackServerContext* context,
                                            const DownloadRequest* request) override {
    return new DownloadCall(coordinator_, context, caller_of(*context), *request, options_.limits);
  }
  grpc::ServerReadReactor<UploadRequest>* Upload(grpc::CallbackServerContext* context,
                                                 UploadReply* reply) override {
    return new UploadCall(coordinator_, context, caller_of(*context), reply, options_.limits);
  }
  grpc::ServerUnaryReactor* UploadOffset(grpc::CallbackServerContext* context,
                                         const UploadOffsetRequest* request,
                                         UploadOffsetReply* reply) override {
    const auto caller = caller_of(*context);
    if (!caller) return answer(*context, to_grpc(caller.error()));
    const auto offset = coordinator_.upload_offset(*caller, request->task_id());
    if (!offset) return answer(*context, to_grpc(offset.error()));
    reply->set_offset(*offset);
    return answer(*context, grpc::Status::OK);
  }

  Result<Caller> caller_of(const grpc::CallbackServerContext& context) {
    auto caller = options_.identify(context);
    if (!caller) coordinator_.count_refused(Refusal::kNotAClient);
    return caller;
  }
  static grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext& context, const grpc::Status& status) {
    auto* reactor = context.DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  const Options options_;
  Coordinator& coordinator_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<Caller> caller_by_metadata(const grpc::ServerContextBase& context) {
  const auto found = context.client_metadata().find("muster-client-pod");
  Caller caller;
  if (found != context.client_metadata().end()) {
    const grpc::string_ref text = found->second;
    const auto [stop, error] = std::from_chars(text.begin(), text.end(), caller.pod);
    if (error == std::errc() && stop == text.end() && caller.pod >= 0) return caller;
  }
  return Error{Code::kPermissionDenied, "the call does not say which client pod makes it"};
}

Result<std::unique_ptr<FederationServer>> FederationServer::start(Options options, Coordinator& coordinator) {
  auto server = std::make_unique<GrpcFederationServer>(std::move(options), coordinator);
  MUSTER_TRY(server->listen());
  return std::unique_ptr<FederationServer>(std::move(server));
}

}  // namespace muster::agg
