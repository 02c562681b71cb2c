// aggregator/shell/federation_service.cc: one reactor a call, on gRPC's callback API
#include "aggregator/shell/federation_service.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "aggregator/shell/offer_call.h"
#include "aggregator/shell/pod_calls.h"
#include "common/base/text.h"
#include "learning/data_identity.h"
#include "pod/guarded_port.h"
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
constexpr int kPingIntervalMs = 5'000;         // clients may ping this often
constexpr std::size_t kStrangersMax = 256;     // at a start, hundreds of pods come at once
constexpr std::int64_t kCallsOfClientMax = 4;  // at once; more wait at their pod
constexpr std::size_t kDigestShown = 18;       // characters of a digest in a message
constexpr milliseconds kFlushTime{500};        // for the last answers to leave
constexpr std::size_t kReceiveMemoryMax = std::size_t{256} << 20;  // of messages that are being received
constexpr int kMessageBytesMax =
    static_cast<int>(kChunkBytesMax) + (64 << 10);  // a chunk and what is around it

// Held by the coordinator through a callback. Whichever of answer and cancellation comes first finishes the
// call.
class CheckInCall final : public grpc::ServerUnaryReactor {
 public:
  CheckInCall(Coordinator& coordinator, OpenCall call, const CheckInRequest& request, CheckInReply* reply)
      : coordinator_(coordinator), call_(std::move(call)), client_(request.client()), reply_(reply) {
    // The callback's share keeps `state_` alive, not the call: after `finished` the call may be gone.
    auto held = coordinator_.check_in(call_.caller, client_,
                                      milliseconds(std::max<std::int64_t>(0, request.hold_ms())),
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
  const OpenCall call_;
  const ClientId client_;
  CheckInReply* const reply_;
  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Of a call that comes too early.
template <typename Reactor>
class Turned final : public Reactor {
 public:
  explicit Turned(const grpc::Status& why) { this->Finish(why); }
  void OnDone() override { delete this; }
};

class GrpcFederationServer final : public FederationServer,
                                   private federation::v1::Federation::CallbackService {
 public:
  GrpcFederationServer(Options options, AggregatorMetrics& metrics, std::int64_t clients_per_pod,
                       ModelIntake* intake)
      : options_(std::move(options)), metrics_(metrics), clients_per_pod_(clients_per_pod), intake_(intake) {}
  void attach(Coordinator& coordinator) override { coordinator_ = &coordinator; }
  ~GrpcFederationServer() override {
    if (server_ == nullptr) return;
    port_->stop();
    server_->Shutdown(std::chrono::system_clock::now() + kFlushTime);
  }

  Status listen() {
    grpc::ServerBuilder builder;
    MUSTER_ASSIGN(port_, GuardedPort::open(
                             {.ip = options_.ip,
                              .port = options_.port,
                              .credentials = options_.credentials,
                              .permitted =
                                  [uid = options_.credentials.name().uid](const PeerName& name) {
                                    return name.role == "client" && name.uid == uid;
                                  },
                              .refused = [this](std::string_view reason) { metrics_.count_refused(reason); },
                              .patience = options_.stranger_patience,
                              .strangers_max = kStrangersMax},
                             builder));
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingIntervalMs);
    builder.SetMaxReceiveMessageSize(kMessageBytesMax);
    // What a stream holds is a message that is read and the beginning of the next: with gRPC's estimate of
    // the bandwidth, windows grow to megabytes, on every connection, whether or not somebody reads.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, static_cast<int>(kStreamWindowBytes));
    builder.SetResourceQuota(grpc::ResourceQuota("federation").Resize(kReceiveMemoryMax));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                               static_cast<int>(kCallsOfClientMax * clients_per_pod_));
    builder.RegisterService(static_cast<federation::v1::Federation::CallbackService*>(this));
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) return internal_error("gRPC cannot serve the clients");
    port_->start();
    return {};
  }
  [[nodiscard]] int port() const override { return port_->port(); }

 private:
  grpc::ServerUnaryReactor* CheckIn(grpc::CallbackServerContext* context, const CheckInRequest* request,
                                    CheckInReply* reply) override {
    auto call = open_call(*context, *request);
    if (const Status early = turned(call); !early) return answer(*context, to_grpc(early.error()));
    if (const Status same = check_data(call->caller, request->data_sha256()); !same)
      return answer(*context, to_grpc(same.error()));
    return new CheckInCall(*coordinator(), *std::move(call), *request,
                           reply);  // gRPC owns it: OnDone deletes it
  }
  grpc::ServerWriteReactor<Chunk>* Download(grpc::CallbackServerContext* context,
                                            const DownloadRequest* request) override {
    auto call = open_call(*context, *request);
    if (const Status early = turned(call); !early)
      return new Turned<grpc::ServerWriteReactor<Chunk>>(to_grpc(early.error()));
    return new DownloadCall(*coordinator(), download_turns_, slots_, context, call, *request,
                            options_.limits);
  }
  grpc::ServerReadReactor<UploadRequest>* Upload(grpc::CallbackServerContext* context,
                                                 UploadReply* reply) override {
    auto call = open_call(*context);
    if (const Status early = turned(call); !early)
      return new Turned<grpc::ServerReadReactor<UploadRequest>>(to_grpc(early.error()));
    return new UploadCall(*coordinator(), upload_turns_, context, std::move(call), reply, options_.limits);
  }
  grpc::ServerUnaryReactor* UploadOffset(grpc::CallbackServerContext* context,
                                         const UploadOffsetRequest* request,
                                         UploadOffsetReply* reply) override {
    const auto call = open_call(*context, *request);
    if (const Status early = turned(call); !early) return answer(*context, to_grpc(early.error()));
    const auto offset =
        coordinator()->upload_offset(call->caller, request->task_id(), request->update_sha256());
    if (!offset) return answer(*context, to_grpc(offset.error()));
    reply->set_offset(*offset);
    return answer(*context, grpc::Status::OK);
  }

  grpc::ServerReadReactor<federation::v1::ModelOffer>* OfferModel(
      grpc::CallbackServerContext* context, federation::v1::ModelOfferReply* reply) override {
    return new OfferCall(intake_, context, open_call(*context), reply, options_.limits);
  }

  [[nodiscard]] Coordinator* coordinator() const { return coordinator_.load(); }
  // Why a call ends before the coordinator hears of it: whose it is, first.
  [[nodiscard]] Status turned(const Result<OpenCall>& call) const {
    if (!call) return call.error();
    if (coordinator() == nullptr)
      return unavailable("the federation has no model yet: the first client brings it");
    return {};
  }

  // Parts are cut by row number: of another dataset they are other examples, though each has as many.
  Status check_data(const Caller& caller, const std::string& told) {
    const std::string& own = options_.data_sha256;
    if (!learning::is_other_data(told, own)) return {};
    metrics_.count_refused(Refusal::kOtherData);
    return invalid_argument(fmt::format(
        "client pod {} has loaded a dataset with SHA-256 {}, the aggregator one with {}; give the pods of "
        "spec.clients.template and of spec.aggregator.template the same files at "
        "spec.training.dataset.path",
        caller.pod, printable(clip(told, kDigestShown)), clip(own, kDigestShown)));
  }
  // By its certificate; refusals are the port's, which counts them.
  Result<Caller> caller_of(const grpc::CallbackServerContext& context) {
    if (const grpc::Status known = port_->check(context); !known.ok()) {
      return Error{static_cast<Code>(known.error_code()), known.error_message()};
    }
    return Caller{.pod = muster::caller_of(context)->index};
  }
  Result<OpenCall> open_call(const grpc::CallbackServerContext& context) {
    MUSTER_ASSIGN(const Caller caller, caller_of(context));
    if (auto counted = calls_.open(caller)) return OpenCall{.caller = caller, .counted = std::move(counted)};
    metrics_.count_refused(Refusal::kTooManyCalls);
    return unavailable(fmt::format("client pod {} has {} calls open, on all its connections; end one first",
                                   caller.pod, calls_.most()));
  }
  // Of one message, which stays in memory as long as the call.
  Result<OpenCall> open_call(const grpc::CallbackServerContext& context,
                             const google::protobuf::Message& request) {
    MUSTER_ASSIGN(OpenCall call, open_call(context));
    if (request.ByteSizeLong() <= kRequestBytesMax) return call;
    metrics_.count_refused(Refusal::kMalformed);
    return invalid_argument(fmt::format("client pod {} sends a request of {} bytes, where {} are allowed",
                                        call.caller.pod, request.ByteSizeLong(), kRequestBytesMax));
  }
  static grpc::ServerUnaryReactor* answer(grpc::CallbackServerContext& context, const grpc::Status& status) {
    auto* reactor = context.DefaultReactor();
    reactor->Finish(status);
    return reactor;
  }

  const Options options_;
  AggregatorMetrics& metrics_;
  const std::int64_t clients_per_pod_;
  ModelIntake* const intake_;  // null: the model is the manifest's
  std::atomic<Coordinator*> coordinator_ = nullptr;
  Turns download_turns_{{.limit = options_.turns}};
  Turns upload_turns_{{.limit = options_.turns, .waiting_max = kUploadsWaitingMax}};
  DownloadSlots slots_{options_.downloads_at_once};
  PodCalls calls_{kCallsOfClientMax * clients_per_pod_};
  std::unique_ptr<GuardedPort> port_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<FederationServer>> FederationServer::start(Options options, Coordinator& coordinator) {
  auto server = std::make_unique<GrpcFederationServer>(std::move(options), coordinator.metrics(),
                                                       coordinator.clients_per_pod(), nullptr);
  server->attach(coordinator);
  MUSTER_TRY(server->listen());
  return std::unique_ptr<FederationServer>(std::move(server));
}

Result<std::unique_ptr<FederationServer>> FederationServer::start(Options options, ModelIntake& intake,
                                                                  AggregatorMetrics& metrics,
                                                                  std::int64_t clients_per_pod) {
  auto server = std::make_unique<GrpcFederationServer>(std::move(options), metrics, clients_per_pod, &intake);
  MUSTER_TRY(server->listen());
  return std::unique_ptr<FederationServer>(std::move(server));
}

}  // namespace muster::agg
