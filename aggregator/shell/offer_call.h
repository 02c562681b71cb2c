#pragma once  // aggregator/shell/offer_call.h: one OfferModel, as a reactor of gRPC's callback API
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "aggregator/shell/call_link.h"
#include "aggregator/shell/model_intake.h"
#include "aggregator/shell/transfer_calls.h"

namespace muster::agg {

// gRPC owns it: OnDone deletes it. One message is read at a time, and nothing else runs meanwhile.
class OfferCall final : public grpc::ServerReadReactor<federation::v1::ModelOffer> {
 public:
  OfferCall(ModelIntake* intake, grpc::CallbackServerContext* context, const Result<OpenCall>& call,
            federation::v1::ModelOfferReply* reply, const TransferLimits& limits);
  void OnReadDone(bool ok) override;
  void OnDone() override;

 private:
  [[nodiscard]] Result<bool> on_message();  // false: there is more to come
  void await_chunk();

  ModelIntake* const intake_;
  const std::shared_ptr<const void> counted_;
  const TransferLimits limits_;
  const Deadline due_;
  const std::shared_ptr<CallLink> link_;
  federation::v1::ModelOfferReply* const reply_;
  std::string whom_;
  federation::v1::ModelOffer message_;
  std::unique_ptr<ModelIntake::Offer> offer_;
};

}  // namespace muster::agg
