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
using federation::v1::UploadHeader;
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
  auto reader = stub.Download(&context, request);
  Chunk chunk;
  while (attempt.status && reader->Read(&chunk)) {
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
  const auto bytes = std::as_bytes(std::span(update.delta));
  header_.set_task_id(std::move(task_id));
  header_.set_examples(update.examples);
  header_.set_weight(update.weight);
  header_.set_update_bytes(bytes.size());
  header_.set_update_sha256(learning::sha256_hex(bytes));
}

Attempt UpdateUpload::attempt(federation::v1::Federation::Stub& stub, grpc::ClientContext& context,
                              std::uint64_t offset, Verdict& verdict) {
  Attempt attempt;
  UploadReply reply;
  auto writer = stub.Upload(&context, &reply);
  UploadRequest request;
  header_.set_offset(offset);
  *request.mutable_header() = header_;
  const auto bytes = std::as_bytes(std::span(update_.delta));
  bool writing = writer->Write(request);
  while (writing && offset < bytes.size()) {  // a failed write: the answer is there already
    const auto part = bytes.subspan(offset, std::min<std::uint64_t>(kChunkBytes, bytes.size() - offset));
    Chunk& chunk = *request.mutable_chunk();
    chunk.set_offset(offset);
    chunk.mutable_data()->assign(reinterpret_cast<const char*>(part.data()), part.size());
    writing = writer->Write(request);
    offset += part.size();
    if (writing) attempt.moved_bytes += part.size();
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
