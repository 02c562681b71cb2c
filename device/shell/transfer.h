#pragma once  // device/shell/transfer.h: one attempt to move a model down or an update up
#include <grpcpp/client_context.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "device/client_round.h"
#include "learning/local_training.h"
#include "proto/federation.grpc.pb.h"

namespace muster::device {

struct Attempt {
  Status status;
  std::uint64_t moved_bytes = 0;  // payload, also of a broken attempt
};

// A model on its way down; the next attempt goes on where the last one broke.
class ModelDownload {
 public:
  explicit ModelDownload(TaskTicket task)
      : task_(std::move(task)), values_(task_.model_bytes / sizeof(float)) {}
  // Errors: of the call; kDataLoss: chunks out of order or another SHA-256, the next attempt starts over.
  [[nodiscard]] Attempt attempt(federation::v1::Federation::Stub& stub, grpc::ClientContext& context);
  [[nodiscard]] const std::vector<float>& values() const { return values_; }
  // Of the model that came; the task's, unless the aggregator had a newer one.
  [[nodiscard]] std::int64_t round() const { return task_.round; }

 private:
  [[nodiscard]] Status append(const federation::v1::Chunk& chunk);
  void begin_anew(const federation::v1::ModelHead& head);

  TaskTicket task_;
  std::vector<float> values_;
  std::uint64_t received_ = 0;
};

// An update on its way up.
class UpdateUpload {
 public:
  UpdateUpload(std::string task_id, const learning::LocalUpdate& update);
  // `offset`: what the aggregator holds. On success `verdict` is its answer.
  [[nodiscard]] Attempt attempt(federation::v1::Federation::Stub& stub, grpc::ClientContext& context,
                                std::uint64_t offset, Verdict& verdict);

 private:
  // What is sent from `offset` on, at most `most` bytes that lie behind each other in memory.
  [[nodiscard]] std::span<const std::byte> part(std::uint64_t offset, std::uint64_t most) const;

  const learning::LocalUpdate& update_;
  federation::v1::UploadHeader header_;
};

// Tells the aggregator that there will be no update.
[[nodiscard]] Attempt report_failure(federation::v1::Federation::Stub& stub, grpc::ClientContext& context,
                                     const ReportFailure& failure, Verdict& verdict);

[[nodiscard]] Error error_of(const grpc::Status& status);

}  // namespace muster::device
