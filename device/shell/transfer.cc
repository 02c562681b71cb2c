// device/shell/transfer.cc: streams of chunks over gRPC's synchronous API
#include "device/shell/transfer.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "learning/sha256.h"

namespace muster::device {
namespace {

using federation::v1::Chunk;
using federation::v1::UploadReply;
using federation::v1::UploadRequest;

constexpr std::uint64_t kChunkBytes = std::uint64_t{512} << 10;

Verdict verdict_of(const UploadReply& reply) {
  switch (reply.verdict()) {
    case UploadReply::ACCEPTED: return Verdict::kAccepted;
    case UploadReply::LATE: return Verdict::kLate;
    default: return Verdict::kRejected;
  }
}

}  // namespace

Error error_of(const grpc::Status& status) {
  return {static_cast<Code>(status.error_code()), status.error_message()};
}

Attempt ModelDownload::attempt(federation::v1::Federation::Stub& stub, grpc::ClientContext& context) {
  Attempt attempt;
  federation::v1::DownloadRequest request;
  request.set_task_id(task_.task_id);
  request.set_offset(received_);
  request.set_model_sha256(task_.model_sha256);
  auto reader = stub.Download(&context, request);
  Chunk chunk;
  while (attempt.status && reader->Read(&chunk)) {
    if (chunk.has_head()) begin_anew(chunk.head());
    attempt.status = append(chunk);
    attempt.moved_bytes += chunk.data().size();
  }
  if (!attempt.status) context.TryCancel();
  const grpc::Status ended = reader->Finish();
  if (!attempt.status) {
    received_ = 0;
    return attempt;
  }
  if (!ended.ok()) {
    attempt.status = error_of(ended);
    return attempt;
  }
  if (received_ != task_.model_bytes) {
    attempt.status =
        unavailable(fmt::format("the download ended after {} of {} bytes", received_, task_.model_bytes));
  } else if (learning::sha256_hex(std::as_bytes(std::span(values_))) != task_.model_sha256) {
    received_ = 0;
    attempt.status = data_loss(fmt::format("the model of round {} came with another SHA-256", task_.round));
  }
  return attempt;
}

void ModelDownload::begin_anew(const federation::v1::ModelHead& head) {
  task_.round = head.round();
  if (head.sha256() == task_.model_sha256) return;
  task_.model_sha256 = head.sha256();
  received_ = 0;
}

Status ModelDownload::append(const Chunk& chunk) {
  const auto room = std::as_writable_bytes(std::span(values_));
  if (chunk.offset() != received_ || chunk.data().size() > room.size() - received_) {
    return data_loss(fmt::format("the download sent bytes {} to {}, byte {} of {} was due", chunk.offset(),
                                 chunk.offset() + chunk.data().size(), received_, room.size()));
  }
  std::memcpy(room.data() + received_, chunk.data().data(), chunk.data().size());
  received_ += chunk.data().size();
  return {};
}

UpdateUpload::UpdateUpload(std::string task_id, const learning::LocalUpdate& update) : update_(update) {
  const auto delta = std::as_bytes(std::span(update.delta));
  header_.set_task_id(std::move(task_id));
  header_.set_examples(update.examples);
  header_.set_weight(update.weight);
  header_.set_steps(static_cast<std::uint64_t>(update.steps));
  header_.set_partial(update.partial);
  if (update.loss) header_.set_loss(*update.loss);
  if (update.accuracy) header_.set_accuracy(*update.accuracy);
  if (const auto& held_out = update.held_out) {
    federation::v1::HeldOut& told = *header_.mutable_held_out();
    told.set_examples(held_out->examples);
    told.set_global(held_out->global);
    if (held_out->tuned) told.set_tuned(*held_out->tuned);
    if (held_out->personal) told.set_personal(*held_out->personal);
  }
  header_.set_update_bytes(delta.size());
  header_.set_update_sha256(learning::sha256_hex(delta));
}

Attempt UpdateUpload::attempt(federation::v1::Federation::Stub& stub, grpc::ClientContext& context,
                              std::uint64_t offset, Verdict& verdict) {
  Attempt attempt;
  UploadReply reply;
  auto writer = stub.Upload(&context, &reply);
  UploadRequest request;
  header_.set_offset(offset);
  *request.mutable_header() = header_;
  bool writing = writer->Write(request);
  const auto delta = std::as_bytes(std::span(update_.delta));
  while (writing && offset < header_.update_bytes()) {  // a failed write: the answer is there already
    const auto bytes = delta.subspan(offset, std::min<std::uint64_t>(kChunkBytes, delta.size() - offset));
    Chunk& chunk = *request.mutable_chunk();
    chunk.set_offset(offset);
    chunk.mutable_data()->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    writing = writer->Write(request);
    offset += bytes.size();
    if (writing) attempt.moved_bytes += bytes.size();
  }
  if (writing) writer->WritesDone();
  const grpc::Status ended = writer->Finish();
  if (ended.ok()) {
    verdict = verdict_of(reply);
  } else {
    attempt.status = error_of(ended);
  }
  return attempt;
}

Attempt report_failure(federation::v1::Federation::Stub& stub, grpc::ClientContext& context,
                       const ReportFailure& failure, Verdict& verdict) {
  UploadReply reply;
  auto writer = stub.Upload(&context, &reply);
  UploadRequest request;
  request.mutable_header()->set_task_id(failure.task_id);
  request.mutable_header()->set_failure(failure.reason);
  if (writer->Write(request)) writer->WritesDone();
  const grpc::Status ended = writer->Finish();
  if (!ended.ok()) return {.status = error_of(ended)};
  verdict = verdict_of(reply);
  return {};
}

}  // namespace muster::device
