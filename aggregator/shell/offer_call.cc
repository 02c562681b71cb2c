// aggregator/shell/offer_call.cc: tensors, then chunks
#include "aggregator/shell/offer_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace muster::agg {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

}  // namespace

OfferCall::OfferCall(ModelIntake* intake, grpc::CallbackServerContext* context, const Result<OpenCall>& call,
                     federation::v1::ModelOfferReply* reply, const TransferLimits& limits)
    : intake_(intake),
      counted_(call ? call->counted : nullptr),
      limits_(limits),
      due_(deadline_after(limits.whole)),
      link_(std::make_shared<CallLink>(context, [](const Error&) {})),
      reply_(reply) {
  if (!call) {
    Finish(to_grpc(call.error()));
    return;
  }
  if (intake_ == nullptr) {
    Finish(to_grpc(failed_precondition(
        "this federation's model is of the manifest; bring muster-operator and the pods to one version")));
    return;
  }
  whom_ = fmt::format("client pod {}", call->caller.pod);
  link_->cancel_after(limits.first_message);
  StartRead(&message_);
}

void OfferCall::OnReadDone(bool ok) {
  if (!ok) return Finish(to_grpc(invalid_argument("the offer ended before its last byte")));
  auto over = on_message();
  if (!over) return Finish(to_grpc(over.error()));
  if (!*over) return StartRead(&message_);
  offer_.reset();
  Finish(grpc::Status::OK);
}

Result<bool> OfferCall::on_message() {
  if (message_.has_tensors() && offer_ == nullptr) {
    const federation::v1::ModelTensors& told = message_.tensors();
    if (told.value_bytes() == 0) {
      MUSTER_ASSIGN(const bool wanted, intake_->compare(whom_, bytes_of(told.tensors())));
      reply_->set_wanted(wanted);
      return true;
    }
    MUSTER_ASSIGN(offer_, intake_->begin(whom_, bytes_of(told.tensors()), told.value_bytes()));
    if (offer_ == nullptr) return true;  // another's was whole meanwhile: not wanted
    await_chunk();
    return false;
  }
  if (!message_.has_chunk() || offer_ == nullptr)
    return invalid_argument("an offer is its tensors, once, and then chunks");
  MUSTER_TRY(offer_->append(message_.chunk().offset(), bytes_of(message_.chunk().data())));
  if (!offer_->whole()) {
    await_chunk();
    return false;
  }
  MUSTER_TRY(intake_->take(std::move(offer_)));
  return true;
}

// A client that has gone, or that stalls, does not keep the others' models out.
void OfferCall::await_chunk() {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(due_ - std::chrono::steady_clock::now());
  link_->cancel_after(std::max(std::chrono::milliseconds(0), std::min(limits_.chunk, left)));
}

void OfferCall::OnDone() {
  link_->detach();
  delete this;
}

}  // namespace muster::agg
