// tests/operator/shell/controller_test.cc: passes through the HTTP client: what is written, in which order,
// and when it stops
#include "tests/operator/shell/controller_fixture.h"

namespace muster::op {
namespace {

TEST_F(ControllerTest, WritesInOrderAndSeesItsOwnWrites) {
  Json service = pod_manifest();
  service["kind"] = "Service";
  service["metadata"]["name"] = "x";
  decision_.actions = {CreateService{service}, CreatePod{pod_manifest()},
                       PatchStatus{{{"status", {{"phase", "Pending"}}}}},
                       EmitEvent{"Normal", "PodsCreated", "1"}};
  writes_->will_json(201, service);
  writes_->will_json(201, pod_manifest());
  Json written = job_object();
  written["metadata"]["resourceVersion"] = "9";
  writes_->will_json(200, written);
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(asked()[0], "POST /api/v1/namespaces/n/services");
  EXPECT_EQ(asked()[1], "POST /api/v1/namespaces/n/pods");
  EXPECT_EQ(asked()[2].substr(0, 75),
            "PATCH /apis/muster.dev/v1alpha1/namespaces/n/distributedjobs/x/status?field");
  decision_.actions.clear();
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(seen_.pods.size(), 1U);
  EXPECT_EQ(seen_.service, ServiceState::kOurs);
  EXPECT_TRUE(seen_.last_status_write);
  EXPECT_EQ(asked().size(), 3U);
  events_.reset();
  EXPECT_EQ(event_writes_->requests().size(), 1U);
}

TEST_F(ControllerTest, StopsAtTheFirstFailureAndTellsNoEvents) {
  decision_.actions = {CreatePod{pod_manifest()}, PatchStatus{{{"status", {{"phase", "Running"}}}}},
                       EmitEvent{"Normal", "PodsCreated", "1"}};
  writes_->will_json(500, refusal(500, "InternalError"));
  EXPECT_EQ(pass(), Controller::Outcome::kFailed);
  EXPECT_EQ(asked().size(), 1U);
  events_.reset();
  EXPECT_TRUE(event_writes_->requests().empty());
}

TEST_F(ControllerTest, ARefusedRecordIsToldAndHoldsNoEndUp) {
  decision_.actions = {RecordHistory{.key = "x.u", .record = {{"name", "x"}}},
                       PatchStatus{{{"status", {{"phase", "Succeeded"}}}}}};
  writes_->will_json(403, refusal(403, "Forbidden"));
  writes_->will_json(200, job_object());
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(asked().size(), 2U);
  events_.reset();
  ASSERT_EQ(event_writes_->requests().size(), 1U);
  EXPECT_NE(event_writes_->requests()[0].body.find("FailedHistory"), std::string::npos);
}

TEST_F(ControllerTest, AnObjectStaysWhileTheRecordThatItMustLeaveIsRefused) {
  decision_.actions = {RecordHistory{.key = "x.u", .record = {{"name", "x"}}, .must = true},
                       DeleteObject{.uid = "u"}};
  writes_->will_json(403, refusal(403, "Forbidden"));
  EXPECT_EQ(pass(), Controller::Outcome::kFailed);
  EXPECT_EQ(asked().size(), 1U);
}

TEST_F(ControllerTest, ARecordThatNobodyAnswersIsTriedAgainBeforeTheStatus) {
  decision_.actions = {RecordHistory{.key = "x.u", .record = {{"name", "x"}}},
                       PatchStatus{{{"status", {{"phase", "Succeeded"}}}}}};
  writes_->will_json(500, refusal(500, "InternalError"));
  EXPECT_EQ(pass(), Controller::Outcome::kFailed);
  EXPECT_EQ(asked().size(), 1U);
}

TEST_F(ControllerTest, AnExistingPodOfOursHasLanded) {
  decision_.actions = {CreatePod{pod_manifest()}};
  writes_->will_json(409, refusal(409, "AlreadyExists"));
  writes_->will_json(200, pod_manifest());
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
}

TEST_F(ControllerTest, ANameThatHasJustBecomeFreeIsTriedAgain) {
  decision_.actions = {CreatePod{pod_manifest()}};
  writes_->will_json(409, refusal(409, "AlreadyExists"));
  writes_->will_json(404, refusal(404, "NotFound"));
  EXPECT_EQ(pass(), Controller::Outcome::kRequeue) << "it is the pod that is gone, not the object";
}

TEST_F(ControllerTest, ANameOfAnotherOwnerIsHandedToCoreAsForeign) {
  decision_.actions = {CreatePod{pod_manifest()}};
  writes_->will_json(409, refusal(409, "AlreadyExists"));
  Json theirs = pod_manifest("somebody-else");
  theirs["metadata"]["ownerReferences"][0]["name"] = "y";
  writes_->will_json(200, theirs);
  EXPECT_EQ(pass(), Controller::Outcome::kRequeue);
  decision_.actions.clear();
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  ASSERT_TRUE(seen_.obstacle);
  EXPECT_EQ(seen_.obstacle->kind, Obstacle::Kind::kNameTaken);
  EXPECT_EQ(seen_.obstacle->message,
            "Pod n/x-worker-0 exists and belongs to DistributedJob y; delete it or rename this object");
}

TEST_F(ControllerTest, ChildrenOfADeletedObjectOfTheSameNameAreWaitedFor) {
  Json service = pod_manifest("earlier");
  service["kind"] = "Service";
  service["metadata"]["name"] = "x";
  cache_.observe_write(kube::kServices, service);
  decision_.actions = {CreatePod{pod_manifest()}};
  writes_->will_json(409, refusal(409, "AlreadyExists"));
  writes_->will_json(200, pod_manifest("earlier"));
  EXPECT_EQ(pass(), Controller::Outcome::kRequeue);
  EXPECT_EQ(seen_.service, ServiceState::kPredecessors);
  decision_.actions.clear();
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  ASSERT_TRUE(seen_.obstacle);
  EXPECT_EQ(seen_.obstacle->kind, Obstacle::Kind::kPredecessor);
}

TEST_F(ControllerTest, AStrictCreateTellsTheFieldOfTheTemplate) {
  decision_.actions = {
      CreatePod{.manifest = pod_manifest(), .part = "spec.workers.template", .strict = true}};
  Json refused = refusal(400, "BadRequest");
  refused["message"] = R"(strict decoding error: unknown field "spec.containers[0].workdir")";
  writes_->will_json(400, refused);
  EXPECT_EQ(pass(), Controller::Outcome::kRequeue);
  EXPECT_EQ(asked()[0], "POST /api/v1/namespaces/n/pods?fieldValidation=Strict");
  decision_.actions.clear();
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  ASSERT_TRUE(seen_.obstacle);
  EXPECT_EQ(seen_.obstacle->kind, Obstacle::Kind::kInvalid);
  EXPECT_NE(seen_.obstacle->message.find("spec.workers.template.spec.containers[0].workdir"),
            std::string::npos);
}

TEST_F(ControllerTest, WhatTheServerOnlyWarnsOfIsAnEventOnceAPass) {
  decision_.actions = {CreatePod{.manifest = pod_manifest(), .part = "spec.workers.template"},
                       CreatePod{.manifest = pod_manifest(), .part = "spec.workers.template"}};
  for (int i = 0; i < 2; ++i)
    writes_->will_json(201, pod_manifest(), {{"Warning", R"(299 - "unknown field \"spec.workdir\"")"}});
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  events_.reset();
  ASSERT_EQ(event_writes_->requests().size(), 1U);
  EXPECT_NE(event_writes_->requests()[0].body.find("spec.workers.template.spec.workdir"), std::string::npos);
}

TEST_F(ControllerTest, APodThatIsOnlyCheckedStopsThePassOnlyWhenItCanNeverBe) {
  decision_.actions = {CheckPod{.manifest = pod_manifest(), .part = "spec.clients.template"},
                       CreatePod{.manifest = pod_manifest(), .part = "spec.aggregator.template"}};
  writes_->will_json(403, refusal(403, "Forbidden"));
  writes_->will_json(201, pod_manifest());
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(asked()[0], "POST /api/v1/namespaces/n/pods?fieldValidation=Strict&dryRun=All");
  EXPECT_EQ(asked().size(), 2U);
  writes_->will_json(422, refusal(422, "Invalid"));
  EXPECT_EQ(pass(), Controller::Outcome::kRequeue);
  EXPECT_EQ(asked().size(), 3U) << "nothing is created";
}

struct Refusal {
  int code;
  const char* reason;
  Obstacle::Kind kind;
};
class RefusedCreate : public ControllerTest, public ::testing::WithParamInterface<Refusal> {};

TEST_P(RefusedCreate, IsHandedToCoreAtOnce) {
  decision_.actions = {CreatePod{pod_manifest()}};
  writes_->will_json(GetParam().code, refusal(GetParam().code, GetParam().reason));
  EXPECT_EQ(pass(), Controller::Outcome::kRequeue);
  decision_.actions.clear();
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  ASSERT_TRUE(seen_.obstacle);
  EXPECT_EQ(seen_.obstacle->kind, GetParam().kind);
  EXPECT_NE(seen_.obstacle->message.find(GetParam().reason), std::string::npos);
}
INSTANTIATE_TEST_SUITE_P(
    Codes, RefusedCreate,
    ::testing::Values(Refusal{403, "Forbidden", Obstacle::Kind::kRefused},
                      Refusal{422, "Invalid", Obstacle::Kind::kInvalid},
                      Refusal{400, "admission webhook \"w\" denied the request", Obstacle::Kind::kRefused},
                      Refusal{404, "admission webhook \"w\" denied the request: no such team",
                              Obstacle::Kind::kRefused},
                      Refusal{422,
                              "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'v' denied "
                              "request: a label is missing",
                              Obstacle::Kind::kRefused},
                      Refusal{500, "Internal error occurred: failed calling webhook \"w\": refused",
                              Obstacle::Kind::kRefused}));

TEST_F(ControllerTest, RefusalsInARowAreCountedUntilThereIsAnotherSpec) {
  decision_.actions = {CreatePod{pod_manifest()}};
  for (const int generation : {1, 2}) {
    Json object = job_object();
    object["metadata"]["generation"] = generation;
    object["metadata"]["resourceVersion"] = std::to_string(10 + generation);
    cache_.observe_write(kube::kDistributedJobs, object);
    for (int refusals = 1; refusals <= 3; ++refusals) {
      writes_->will_json(403, refusal(403, "exceeded quota"));
      decision_.actions = {CreatePod{pod_manifest()}};
      EXPECT_EQ(pass(), Controller::Outcome::kRequeue);
      EXPECT_TRUE(refusals > 1 || !seen_.obstacle) << "of another spec";
      decision_.actions.clear();
      pass();
      ASSERT_TRUE(seen_.obstacle);
      EXPECT_EQ(seen_.obstacle->refusals, refusals);
    }
  }
}

TEST_F(ControllerTest, ASecretThatSomebodyElseMadeIsTold) {
  const auto create = [this](int code) {
    decision_.actions = {CreateCredentials{
        .manifest = {{"metadata", {{"name", "keys"}}}}, .role = "worker", .first = 0, .count = 1}};
    writes_->will_json(code, refusal(code, "AlreadyExists"));
    pass();
    decision_.actions.clear();
    pass();
    return seen_.found_credentials.contains("keys");
  };
  EXPECT_TRUE(create(409));
  EXPECT_TRUE(create(409));
  EXPECT_FALSE(create(201)) << "it was deleted, and made here";
  EXPECT_FALSE(create(409)) << "our own";
}

TEST_F(ControllerTest, AConflictOnTheStatusLooksAgain) {
  decision_.actions = {
      PatchStatus{{{"metadata", {{"resourceVersion", "5"}}}, {"status", {{"restarts", 1}}}}}};
  writes_->will_json(409, refusal(409, "Conflict"));
  EXPECT_EQ(pass(), Controller::Outcome::kRequeue);
  EXPECT_EQ(Json::parse(writes_->requests()[0].body)["metadata"]["resourceVersion"], "5");
  EXPECT_EQ(Json::parse(writes_->requests()[0].body)["metadata"]["uid"], "u");
}

TEST_F(ControllerTest, AFieldThatTheServerDoesNotKeepIsHandedToCoreUntilItDoes) {
  decision_.actions = {PatchStatus{{{"status", {{"phase", "Pending"}, {"membership", 1}}}}}};
  Json pruned = job_object();
  pruned["status"] = {{"phase", "Pending"}};
  writes_->will_json(200, pruned);
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(seen_.unkept, std::nullopt);
  decision_.actions = {PatchStatus{{{"status", {{"phase", "Pending"}}}}}};
  writes_->will_json(200, pruned);
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(seen_.unkept, "status.membership");
  decision_.actions = {PatchStatus{{{"status", {{"phase", "Pending"}, {"membership", 1}}}}}};
  Json whole = pruned;
  whole["status"]["membership"] = 1;
  writes_->will_json(200, whole);
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(seen_.unkept, "status.membership") << "a write without the field says nothing of it";
  decision_.actions.clear();
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  EXPECT_EQ(seen_.unkept, "");
}

TEST_F(ControllerTest, AStatusThatTheDefinitionRefusesIsToldWithTheRemedy) {
  decision_.actions = {PatchStatus{{{"status", {{"phase", "Resting"}}}}}};
  writes_->will_json(422, refusal(422, "Invalid"));
  EXPECT_EQ(pass(), Controller::Outcome::kFailed);
  events_.reset();
  ASSERT_EQ(event_writes_->requests().size(), 1U);
  EXPECT_THAT(event_writes_->requests()[0].body, ::testing::HasSubstr("FailedStatusUpdate"));
  EXPECT_THAT(event_writes_->requests()[0].body, ::testing::HasSubstr("of the operator's version"));
}

TEST_F(ControllerTest, DeletingAPodThatIsGoneOrAnotherOneHasLanded) {
  decision_.actions = {DeletePod{"a", "1", {}}, DeletePod{"b", "2", 0}};
  writes_->will_json(404, refusal(404, "NotFound"));
  writes_->will_json(409, refusal(409, "Conflict"));
  EXPECT_EQ(pass(), Controller::Outcome::kRequeueAfter);
  const auto requests = writes_->requests();  // side by side
  ASSERT_EQ(requests.size(), 2U);
  const Json b = Json::parse(requests[requests[0].target.ends_with("/b") ? 0 : 1].body);
  EXPECT_EQ(b["preconditions"]["uid"], "2");
  EXPECT_EQ(b["gracePeriodSeconds"], 0);
}

TEST_F(ControllerTest, ARefusedDeleteIsNotMetByAThousandPods) {
  writes_->otherwise([](const kube::HttpRequest&) -> FakeTransport::Answer {
    return kube::HttpResponse{.status = 403, .headers = {}, .body = refusal(403, "Forbidden").dump()};
  });
  for (int i = 0; i < 1000; ++i) decision_.actions.emplace_back(DeletePod{std::to_string(i), "1", {}});
  decision_.actions.emplace_back(PatchStatus{{{"status", {{"restarts", 1}}}}});
  EXPECT_EQ(pass(), Controller::Outcome::kFailed);
  EXPECT_LE(asked().size(), 4U);
  events_.reset();
  EXPECT_EQ(event_writes_->requests().size(), 1U);
}

struct Withdrawn {
  Action action;
  std::string reason;
};
class WithdrawnRight : public ControllerTest, public ::testing::WithParamInterface<Withdrawn> {};

TEST_P(WithdrawnRight, IsAnEventOfTheObject) {
  decision_.actions = {GetParam().action};
  Json answer = refusal(403, "Forbidden");
  answer["message"] = "muster-operator cannot do this";
  writes_->will_json(403, answer);
  EXPECT_EQ(pass(), Controller::Outcome::kFailed);
  events_.reset();
  ASSERT_EQ(event_writes_->requests().size(), 1U);
  const Json event = Json::parse(event_writes_->requests()[0].body);
  EXPECT_EQ(event["type"], "Warning");
  EXPECT_EQ(event["reason"], GetParam().reason);
  EXPECT_NE(text(event["message"]).find("cannot do this"), std::string::npos);
}
INSTANTIATE_TEST_SUITE_P(Verbs, WithdrawnRight,
                         ::testing::Values(Withdrawn{DeletePod{"a", "1", {}}, "FailedDelete"},
                                           Withdrawn{DeleteObject{.uid = "u"}, "FailedDelete"},
                                           Withdrawn{PatchStatus{{{"status", {{"restarts", 1}}}}},
                                                     "FailedStatusUpdate"}));

TEST_F(ControllerTest, ThatEventsAreRefusedIsToldOnce) {
  std::vector<std::string> told;
  auto recorder = std::make_unique<kube::EventRecorder>(
      event_client_, "test", [&](const Error& error) { told.push_back(error.message); });
  event_writes_->otherwise([](const kube::HttpRequest&) -> FakeTransport::Answer {
    return kube::HttpResponse{.status = 403, .headers = {}, .body = refusal(403, "no events").dump()};
  });
  for (const char* reason : {"First", "Second"})
    recorder->record({.regarding = {{"uid", "u"}, {"namespace", "n"}, {"name", "x"}},
                      .type = "Normal",
                      .reason = reason,
                      .message = "m"});
  recorder.reset();
  EXPECT_EQ(event_writes_->requests().size(), 2U);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_NE(told[0].find("no events"), std::string::npos);
}

TEST_F(ControllerTest, AnOutageHoldsUpWritesAloneAndEndsWithAnyAnswer) {
  const std::vector<Action> write{PatchStatus{{{"status", {{"restarts", 1}}}}}};
  decision_.actions = write;
  writes_->will(unavailable("no connection"));
  EXPECT_EQ(pass(), Controller::Outcome::kFailed);
  EXPECT_EQ(pass(), Controller::Outcome::kRequeueAfter);
  EXPECT_EQ(asked().size(), 1U) << "it waits";
  decision_.actions = {EmitEvent{"Normal", "PodsCreated", "1"}};
  EXPECT_EQ(pass(), Controller::Outcome::kDone);
  decision_.actions = write;
  EXPECT_EQ(pass(), Controller::Outcome::kRequeueAfter) << "an event says nothing of the server";
  writes_->will_json(403, refusal(403, "Forbidden"));
  while (asked().size() == 1) static_cast<void>(pass());
  for (int i = 0; i < 3; ++i) {
    writes_->will_json(403, refusal(403, "Forbidden"));
    EXPECT_EQ(pass(), Controller::Outcome::kFailed) << "nothing holds it up any more";
  }
  EXPECT_EQ(asked().size(), 5U);
}

TEST_F(ControllerTest, AnObjectThatIsGoneNeedsNothing) {
  EXPECT_EQ(controller_->reconcile("n/nobody"), Controller::Outcome::kDone);
  EXPECT_TRUE(asked().empty());
}

TEST_F(ControllerTest, CoresRequeueIsKept) {
  decision_.requeue_after = seconds(3);
  EXPECT_EQ(pass(), Controller::Outcome::kRequeueAfter);
}

}  // namespace
}  // namespace muster::op
