// aggregator/shell/federation_service.cc: one reactor a call, on gRPC's callback API
#include "aggregator/shell/federation_service.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <utility>

#include "aggregator/shell/call_timer.h"
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

grpc::Status to_grpc(const Error& error) {
  return {static_cast<grpc::StatusCode>(error.code), error.message};
}

// Held by the coordinator through a callback. Whichever of answer and cancellation comes first finishes the
// call.
class CheckInCall final : public grpc::ServerUnaryReactor {
 public:
  CheckInCall(Coordinator& coordinator, const CheckInRequest& request, CheckInReply* reply)
      : coordinator_(coordinator), client_(request.client()), reply_(reply) {
    // The callback's share keeps `state_` alive, not the call: after `finished` the call may be gone.
    auto held = coordinator_.check_in(client_, milliseconds(std::max<std::int64_t>(0, request.hold_ms())),
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

class DownloadCall final : public grpc::ServerWriteReactor<Chunk> {
 public:
  DownloadCall(Coordinator& coordinator, grpc::CallbackServerContext* context, const DownloadRequest& request,
               milliseconds timeout)
      : coordinator_(coordinator), task_id_(request.task_id()), offset_(request.offset()) {
    timer_.start(context, timeout);
    auto model = coordinator_.begin_download(task_id_, offset_);
    if (!model) {
      Finish(to_grpc(model.error()));
      return;
    }
    model_ = std::move(*model);
    write_next();
  }
  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::CANCELLED);
      return;
    }
    coordinator_.count_sent(chunk_.data().size());
    write_next();
  }
  void OnDone() override {
    timer_.stop();
    delete this;
  }

 private:
  void write_next() {
    const std::uint64_t size = std::min(kChunkBytes, model_->bytes() - offset_);
    if (size == 0) {
      coordinator_.downloaded(task_id_);
      Finish(grpc::Status::OK);
      return;
    }
    const auto bytes = std::as_bytes(std::span(model_->values)).subspan(offset_, size);
    chunk_.set_offset(offset_);
    chunk_.mutable_data()->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    offset_ += size;
    StartWrite(&chunk_);
  }

  Coordinator& coordinator_;
  const std::string task_id_;
  std::uint64_t offset_;
  std::shared_ptr<const Model> model_;
  Chunk chunk_;
  CallTimer timer_;
};

class UploadCall final : public grpc::ServerReadReactor<UploadRequest> {
 public:
  UploadCall(Coordinator& coordinator, grpc::CallbackServerContext* context, UploadReply* reply,
             milliseconds timeout)
      : coordinator_(coordinator), reply_(reply) {
    timer_.start(context, timeout);
    StartRead(&request_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return ended();
    const Status status = request_.has_header() ? on_header() : on_chunk();
    if (!status) return finish(to_grpc(status.error()));
    if (answered_) return finish(grpc::Status::OK);
    StartRead(&request_);
  }
  void OnDone() override {
    timer_.stop();
    if (buffer_ != nullptr) coordinator_.abandon_upload(std::move(buffer_));
    delete this;
  }

 private:
  Status on_header() {
    if (buffer_ != nullptr) return invalid_argument("upload: a second header; send one header, then chunks");
    MUSTER_ASSIGN(Coordinator::Admission admission, coordinator_.begin_upload(request_.header()));
    if (auto* reply = std::get_if<UploadReply>(&admission)) {
      *reply_ = std::move(*reply);
      answered_ = true;
    } else {
      buffer_ = std::move(std::get<std::shared_ptr<UploadBuffer>>(admission));
    }
    return {};
  }
  Status on_chunk() {
    if (buffer_ == nullptr)
      return invalid_argument("upload: a message without the header; send the header first");
    MUSTER_TRY(buffer_->append(request_.chunk()));
    coordinator_.count_received(request_.chunk().data().size());
    if (buffer_->whole()) {
      *reply_ = coordinator_.finish_upload(buffer_);
      answered_ = true;
    }
    return {};
  }
  // The client has no more to say, or is gone; what came is kept for the next call.
  void ended() {
    if (buffer_ == nullptr)
      return finish({grpc::StatusCode::INVALID_ARGUMENT, "upload: it ended before its header"});
    finish({grpc::StatusCode::DATA_LOSS,
            fmt::format("upload of task \"{}\": it ended after {} of {} bytes; go on there",
                        buffer_->header().task_id(), buffer_->received(), buffer_->header().update_bytes())});
  }
  void finish(const grpc::Status& status) {
    // Before the answer, so that a client which reads it finds the buffer free.
    if (buffer_ != nullptr) coordinator_.abandon_upload(std::move(buffer_));
    Finish(status);
  }

  Coordinator& coordinator_;
  UploadReply* const reply_;
  std::shared_ptr<UploadBuffer> buffer_;
  bool answered_ = false;
  UploadRequest request_;
  CallTimer timer_;
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
    if (request->federation_uid() != options_.federation_uid) {
      auto* refusal = context->DefaultReactor();
      refusal->Finish(
          {grpc::StatusCode::PERMISSION_DENIED,
           fmt::format("client {} is of federation \"{}\", this is the aggregator of \"{}\"; replace "
                       "its pod, which has an old address",
                       request->client(), request->federation_uid(), options_.federation_uid)});
      return refusal;
    }
    return new CheckInCall(coordinator_, *request, reply);  // gRPC owns it: OnDone deletes it
  }
  grpc::ServerWriteReactor<Chunk>* Download(grpc::CallbackServerContext* context,
                                            const DownloadRequest* request) override {
    return new DownloadCall(coordinator_, context, *request, options_.transfer_timeout);
  }
  grpc::ServerReadReactor<UploadRequest>* Upload(grpc::CallbackServerContext* context,
                                                 UploadReply* reply) override {
    return new UploadCall(coordinator_, context, reply, options_.transfer_timeout);
  }
  grpc::ServerUnaryReactor* UploadOffset(grpc::CallbackServerContext* context,
                                         const UploadOffsetRequest* request,
                                         UploadOffsetReply* reply) override {
    reply->set_offset(coordinator_.upload_offset(request->task_id()));
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  const Options options_;
  Coordinator& coordinator_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace

Result<std::unique_ptr<FederationServer>> FederationServer::start(Options options, Coordinator& coordinator) {
  auto server = std::make_unique<GrpcFederationServer>(std::move(options), coordinator);
  MUSTER_TRY(server->listen());
  return std::unique_ptr<FederationServer>(std::move(server));
}

}  // namespace muster::agg
