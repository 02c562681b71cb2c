// aggregator/shell/transfer_calls.cc: chunks out and in; ended from outside when the round is over
#include "aggregator/shell/transfer_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

namespace muster::agg {
namespace {

using federation::v1::DownloadRequest;
using federation::v1::UploadReply;

constexpr std::chrono::milliseconds kFlushTime{500};  // for the reason to leave before a call is cut off

}  // namespace

DownloadCall::DownloadCall(Coordinator& coordinator, DownloadSlots& slots,
                           grpc::CallbackServerContext* context, const Result<OpenCall>& call,
                           const DownloadRequest& request, const TransferLimits& limits)
    : coordinator_(coordinator),
      slots_(slots),
      counted_(call ? call->counted : nullptr),
      pod_(call ? call->caller.pod : 0),
      task_id_(request.task_id()),
      limits_(limits),
      deadline_(std::chrono::steady_clock::now() + limits.whole),
      link_(std::make_shared<CallLink>(
          context, [this](const Error& why) MUSTER_REQUIRES(link_->mutex()) { end(why); })),
      offset_(request.offset()) {
  limit_time(limits.whole);
  if (call) {
    begin(call->caller, request);
  } else {
    finish(to_grpc(call.error()));
  }
}

void DownloadCall::begin(const Caller& caller, const DownloadRequest& request) {
  auto download = coordinator_.begin_download(caller, request, link_);
  if (!download) return finish(to_grpc(download.error()));
  {
    const RecursiveMutexLock lock(link_->mutex());
    if (finished_) return;  // the round ended meanwhile
    model_ = std::move(download->model);
    offset_ = download->offset;
    if (download->newest) {
      chunk_.mutable_head()->set_round(model_->round + 1);
      chunk_.mutable_head()->set_sha256(model_->sha256);
    }
    if (write_next()) return;
  }
  coordinator_.downloaded(task_id_);
  finish(grpc::Status::OK);
}

void DownloadCall::OnWriteDone(bool ok) {
  if (ok) coordinator_.count_sent(chunk_.data().size());
  std::string().swap(*chunk_.mutable_data());
  chunk_.clear_head();  // of the first alone
  slots_.give(pod_);    // without the lock: the next one starts its write in it
  {
    const RecursiveMutexLock lock(link_->mutex());
    writing_ = false;
    if (ended_) return finish(to_grpc(*ended_));
    if (!ok) return finish(grpc::Status::CANCELLED);
    if (write_next()) return;
  }
  coordinator_.downloaded(task_id_);
  finish(grpc::Status::OK);
}

void DownloadCall::OnDone() {
  link_->detach();
  slots_.forget(pod_, this);
  coordinator_.end_download(task_id_, link_);
  delete this;
}

bool DownloadCall::write_next() {
  if (offset_ == model_->download_bytes()) return false;
  // By itself, as this call may have gone: the lock is known to be this call's only behind detached().
  const bool taken = slots_.take(pod_, this, [this, link = link_]() MUSTER_NO_THREAD_SAFETY_ANALYSIS {
    const RecursiveMutexLock lock(link->mutex());
    if (link->detached() || finished_ || ended_) return false;
    write_chunk();
    return true;
  });
  if (taken) {
    write_chunk();
  } else {
    limit_time(limits_.whole);  // it waits for others
  }
  return true;
}

void DownloadCall::write_chunk() {
  const auto bytes = model_->part(offset_, kDownloadChunkBytes);
  chunk_.set_offset(offset_);
  chunk_.mutable_data()->assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  offset_ += bytes.size();
  writing_ = true;
  limit_time(limits_.chunk);
  StartWrite(&chunk_);
}

void DownloadCall::limit_time(std::chrono::milliseconds at_most) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now());
  link_->cancel_after(std::min(left, at_most));
}

// The write under way ends first, so that a client which reads gets the reason; one that stands still does
// not.
void DownloadCall::end(const Error& why) {
  if (finished_ || ended_) return;
  ended_ = why;
  model_.reset();
  if (!writing_) return finish(to_grpc(why));
  link_->cancel_after(kFlushTime);
}

void DownloadCall::finish(const grpc::Status& status) {
  const RecursiveMutexLock lock(link_->mutex());
  if (std::exchange(finished_, true)) return;
  model_.reset();
  Finish(status);
}

UploadCall::UploadCall(Coordinator& coordinator, grpc::CallbackServerContext* context, Result<OpenCall> call,
                       UploadReply* reply, const TransferLimits& limits)
    : coordinator_(coordinator),
      call_(std::move(call)),
      limits_(limits),
      link_(std::make_shared<CallLink>(
          context, [this](const Error& why) MUSTER_REQUIRES(link_->mutex()) { end(why); })),
      reply_(reply) {
  link_->cancel_after(limits.first_message);
  if (call_) {
    StartRead(&request_);
  } else {
    finish(to_grpc(call_.error()));
  }
}

void UploadCall::OnReadDone(bool ok) {
  std::shared_ptr<UploadBuffer> buffer;
  {
    const RecursiveMutexLock lock(link_->mutex());
    if (finished_) return;
    buffer = buffer_;
  }
  if (!ok) return on_end_of_messages(buffer);
  if (request_.has_chunk()) return on_chunk(std::move(buffer));
  if (!request_.has_header() || buffer != nullptr) {
    return refuse_malformed(invalid_argument(
        buffer == nullptr ? "upload: a message with neither header nor chunk; send the header first"
                          : "upload: a second header; send one header, then chunks"));
  }
  on_header();
}

void UploadCall::OnDone() {
  link_->detach();
  std::shared_ptr<UploadBuffer> buffer;
  {
    const RecursiveMutexLock lock(link_->mutex());
    buffer = std::move(buffer_);
  }
  if (!task_id_.empty()) coordinator_.abandon_upload(task_id_, link_, std::move(buffer));
  delete this;
}

void UploadCall::on_header() {
  const UploadHeader& header = request_.header();
  const std::size_t most = header.failure().empty() ? kRequestBytesMax : kFailureBytesMax;
  if (header.ByteSizeLong() > most)  // it stays in memory as long as what it is of
    return refuse_malformed(invalid_argument(
        fmt::format("upload: a header of {} bytes, where {} are allowed", header.ByteSizeLong(), most)));
  auto admission = coordinator_.begin_upload(call_->caller, request_.header(), link_);
  if (!admission) return finish(to_grpc(admission.error()));
  if (auto* reply = std::get_if<UploadReply>(&*admission)) return answer(std::move(*reply));
  const RecursiveMutexLock lock(link_->mutex());
  task_id_ = request_.header().task_id();
  if (finished_) return;  // the round ended meanwhile
  buffer_ = std::move(std::get<std::shared_ptr<UploadBuffer>>(*admission));
  link_->cancel_after(limits_.whole);
  StartRead(&request_);
}

void UploadCall::on_chunk(std::shared_ptr<UploadBuffer> buffer) {
  if (buffer == nullptr) {
    return refuse_malformed(invalid_argument("upload: a message without the header; send the header first"));
  }
  if (const Status taken = buffer->append(request_.chunk()); !taken) return refuse_malformed(taken.error());
  coordinator_.count_received(request_.chunk().data().size());
  if (!buffer->whole()) {
    buffer.reset();  // before the next message, which another thread may handle to the answer's end meanwhile
    return read_next();
  }
  {
    const RecursiveMutexLock lock(link_->mutex());
    if (finished_) return;
    buffer_.reset();
  }
  // Who folds it is the only one who holds it from here on: then its memory is free as soon as its room.
  coordinator_.finish_upload(std::move(buffer), [this, link = link_](Result<UploadReply> reply) {
    const RecursiveMutexLock lock(link->mutex());
    if (!link->detached()) answer(std::move(reply));
  });
}

// The client has no more to say, or is gone; what came is kept for the next call.
void UploadCall::on_end_of_messages(const std::shared_ptr<UploadBuffer>& buffer) {
  if (buffer == nullptr) return refuse_malformed(invalid_argument("upload: it ended before its header"));
  finish({grpc::StatusCode::DATA_LOSS,
          fmt::format("upload of task \"{}\": it ended after {} of {} bytes; go on there", task_id_,
                      buffer->received(), buffer->header().update_bytes())});
}

void UploadCall::read_next() {
  const RecursiveMutexLock lock(link_->mutex());
  if (!finished_) StartRead(&request_);
}

void UploadCall::end(const Error& why) {
  buffer_.reset();
  link_->cancel_after(kFlushTime);
  close(to_grpc(why));  // last: gRPC may delete this call inside it
}

void UploadCall::answer(Result<UploadReply> reply) {
  if (!reply) return finish(to_grpc(reply.error()));
  {
    const RecursiveMutexLock lock(link_->mutex());
    if (finished_) return;
    *reply_ = std::move(*reply);
  }
  finish(grpc::Status::OK);
}

void UploadCall::refuse_malformed(const Error& error) {
  coordinator_.metrics().count_refused(Refusal::kMalformed);
  finish(to_grpc(error));
}

void UploadCall::finish(const grpc::Status& status) {
  std::shared_ptr<UploadBuffer> buffer;
  {
    const RecursiveMutexLock lock(link_->mutex());
    buffer = std::move(buffer_);
  }
  if (buffer != nullptr) coordinator_.abandon_upload(task_id_, link_, std::move(buffer));
  const RecursiveMutexLock lock(link_->mutex());
  close(status);
}

void UploadCall::close(const grpc::Status& status) {
  if (!std::exchange(finished_, true)) Finish(status);
}

}  // namespace muster::agg
