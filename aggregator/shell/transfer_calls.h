#pragma once  // aggregator/shell/transfer_calls.h: one download, one upload, as reactors of gRPC's callback
              // API
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "aggregator/shell/call_link.h"
#include "aggregator/shell/coordinator.h"
#include "aggregator/shell/download_slots.h"
#include "common/base/clock.h"

namespace muster::agg {

inline constexpr std::uint64_t kDownloadChunkBytes = std::uint64_t{128} << 10;
inline constexpr std::size_t kDownloadsAtOnce = 64;  // hold a chunk
// A chunk is there as our message, as gRPC's and as what TLS makes of it; the fourth is what lies between.
inline constexpr std::uint64_t kDownloadMemory = kDownloadsAtOnce * 4 * kDownloadChunkBytes;

struct TransferLimits {
  std::chrono::milliseconds first_message{10'000};  // of an upload: its header
  std::chrono::milliseconds chunk{
      10'000};  // of a download: for its client to take one; of an offer: to send one
  std::chrono::milliseconds whole{600'000};
};

[[nodiscard]] inline grpc::Status to_grpc(const Error& error) {
  return {static_cast<grpc::StatusCode>(error.code), error.message};
}

// Who makes a call, and that he may: pod_calls.h.
struct OpenCall {
  Caller caller;
  std::shared_ptr<const void> counted;
};

// gRPC owns the reactors: OnDone deletes them. The link's mutex guards what its end() shares with them; the
// rest is of the one operation that gRPC has under way for a call.
class DownloadCall final : public grpc::ServerWriteReactor<federation::v1::Chunk> {
 public:
  DownloadCall(Coordinator& coordinator, DownloadSlots& slots, grpc::CallbackServerContext* context,
               const Result<OpenCall>& call, const federation::v1::DownloadRequest& request,
               const TransferLimits& limits);
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  void begin(const Caller& caller, const federation::v1::DownloadRequest& request);
  // As soon as there is a slot; false: there is no more.
  [[nodiscard]] bool write_next() MUSTER_REQUIRES(link_->mutex());
  void write_chunk() MUSTER_REQUIRES(link_->mutex());  // and a slot
  void limit_time(std::chrono::milliseconds at_most);
  void end(const Error& why) MUSTER_REQUIRES(link_->mutex());
  void finish(const grpc::Status& status);

  Coordinator& coordinator_;
  DownloadSlots& slots_;
  const std::shared_ptr<const void> counted_;
  const std::int64_t pod_;
  const std::string task_id_;
  const TransferLimits limits_;
  const Deadline deadline_;
  const std::shared_ptr<CallLink> link_;
  std::uint64_t offset_ MUSTER_GUARDED_BY(link_->mutex());
  std::shared_ptr<const GlobalModel> model_ MUSTER_GUARDED_BY(link_->mutex());
  federation::v1::Chunk chunk_;  // of the write under way; filled under the mutex before it
  bool writing_ MUSTER_GUARDED_BY(link_->mutex()) = false;
  bool finished_ MUSTER_GUARDED_BY(link_->mutex()) = false;
  std::optional<Error> ended_ MUSTER_GUARDED_BY(link_->mutex());
};

class UploadCall final : public grpc::ServerReadReactor<federation::v1::UploadRequest> {
 public:
  UploadCall(Coordinator& coordinator, grpc::CallbackServerContext* context, Result<OpenCall> call,
             federation::v1::UploadReply* reply, const TransferLimits& limits);
  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  void on_header();
  void on_chunk(std::shared_ptr<UploadBuffer> buffer);
  void on_end_of_messages(const std::shared_ptr<UploadBuffer>& buffer);
  void read_next();
  void end(const Error& why) MUSTER_REQUIRES(link_->mutex());
  void answer(Result<federation::v1::UploadReply> reply);
  void refuse_malformed(const Error& error);
  // Gives the buffer back first, so that a client which reads the answer finds it free.
  void finish(const grpc::Status& status);
  void close(const grpc::Status& status) MUSTER_REQUIRES(link_->mutex());

  Coordinator& coordinator_;
  const Result<OpenCall> call_;
  const TransferLimits limits_;
  const std::shared_ptr<CallLink> link_;
  federation::v1::UploadReply* const reply_;
  federation::v1::UploadRequest request_;
  std::string task_id_;  // once the header is admitted
  std::shared_ptr<UploadBuffer> buffer_ MUSTER_GUARDED_BY(link_->mutex());
  bool finished_ MUSTER_GUARDED_BY(link_->mutex()) = false;
};

}  // namespace muster::agg
