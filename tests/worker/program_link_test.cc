// tests/worker/program_link_test.cc: a worker and a program that answers, lies, dies or is silent; the C
// library against the worker's end
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "tests/worker/fake_program.h"
#include "tests/worker/mesh_support.h"
#include "worker/program/muster_worker.h"
#include "worker/program/program_model.h"
#include "worker/program/same_model.h"

namespace muster::program::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using worker::test::soon;

TEST(ProgramLink, GradientsStepsAndStateGoToAndFro) {
  const SocketFolder folder;
  std::atomic<bool> asked = false;
  auto link = listen(folder, seconds(20), [&asked] { asked = true; });
  const ProgramThread thread([&folder] {
    FakeProgram program(folder.socket());
    program.register_model(kModel, 100, 16, "{}");
    program.parameters()[0] = 7;
    program.tell({.kind = Kind::kReport, .numbers = {2}, .reals = {0, 0.25}});
    ASSERT_EQ(program.hear()->kind, Kind::kBatch);
    const auto* rows = reinterpret_cast<const std::int64_t*>(program.body.data());
    EXPECT_EQ(std::vector<std::int64_t>(rows, rows + 3), (std::vector<std::int64_t>{5, 3, 9}));
    program.gradient()[6] = 2.5F;
    program.tell({.kind = Kind::kGradient, .numbers = {1}, .reals = {0.75}});
    ASSERT_EQ(program.hear()->kind, Kind::kStep);
    EXPECT_EQ(program.gradient()[6], 1.25F);
    program.parameters()[6] -= program.gradient()[6];
    program.tell({.kind = Kind::kStop});
    program.tell({.kind = Kind::kStepped});
    ASSERT_EQ(program.hear()->kind, Kind::kGiveState);
    program.tell({.kind = Kind::kState}, bytes_of("momentum"));
    ASSERT_EQ(program.hear()->kind, Kind::kTakeState);
    EXPECT_EQ(program.body, bytes_of("another"));
    const auto end = program.hear();
    ASSERT_EQ(end->kind, Kind::kEnd);
    EXPECT_EQ(end->numbers[0], 3);
    EXPECT_EQ(program.body, bytes_of("that is why"));
  });
  const Status met = link->meet(kWorld, soon());
  ASSERT_TRUE(met) << met.error().message;
  EXPECT_EQ(link->model().tensors, kModel);
  EXPECT_EQ(link->model().parameters, 7);
  EXPECT_EQ(link->model().examples, 100);
  EXPECT_EQ(link->model().batch_size, 16);
  const std::vector<std::int64_t> rows{5, 3, 9};
  const auto loss = link->gradient_of(rows);
  ASSERT_TRUE(loss) << loss.error().message;
  EXPECT_EQ(*loss, 0.75);
  EXPECT_EQ(link->parameters()[0], 7);
  EXPECT_EQ(link->told_accuracy(), 0.25);
  EXPECT_EQ(link->told_accuracy(), std::nullopt);
  link->gradient()[6] /= 2;
  ASSERT_TRUE(link->step());
  EXPECT_EQ(link->parameters()[6], -1.25F);
  EXPECT_TRUE(asked);
  const auto state = link->state();
  ASSERT_TRUE(state);
  EXPECT_EQ(*state, bytes_of("momentum"));
  ASSERT_TRUE(link->take(bytes_of("another")));
  link->end(3, "that is why", seconds(5));
  EXPECT_TRUE(link->failure());
}

TEST(ProgramLink, TheProgramsOwnDeathIsSeenAndNoReasonToWait) {
  const SocketFolder folder;
  auto link = listen(folder);
  const ProgramThread thread([&folder] {
    FakeProgram program(folder.socket());
    program.register_model(kModel, 100);
    static_cast<void>(program.hear());
  });
  ASSERT_TRUE(link->meet(kWorld, soon()));
  const auto loss = link->gradient_of(std::vector<std::int64_t>{1});
  ASSERT_FALSE(loss);
  EXPECT_EQ(loss.error().code, Code::kInternal);  // another pod may fare better
  EXPECT_NE(loss.error().message.find("has ended"), std::string::npos) << loss.error().message;
  EXPECT_FALSE(link->failure());
  EXPECT_TRUE(link->gone());
  EXPECT_FALSE(link->step());
  ProgramOptimizer optimizer(*link);  // has no state any more, and does not wait for one
  EXPECT_EQ(optimizer.slots().size(), 1U);
}

TEST(ProgramLink, OneThatIsSilentIsNotWaitedForLongerThanItMayTake) {
  const SocketFolder folder;
  auto link = listen(folder, milliseconds(200));
  std::atomic<bool> over = false;
  const ProgramThread thread([&] {
    FakeProgram program(folder.socket());
    program.register_model(kModel, 100);
    while (program.hear() && !over) {
    }
  });
  ASSERT_TRUE(link->meet(kWorld, soon()));
  const auto loss = link->gradient_of(std::vector<std::int64_t>{1});
  ASSERT_FALSE(loss);
  EXPECT_NE(loss.error().message.find("in time"), std::string::npos);
  over = true;
  link->end(75, "enough", milliseconds(100));
}

TEST(Channel, WhatIsOfferedLeavesRoomForWhatCounts) {
  const SocketFolder folder;
  auto listener = listen_at(folder.socket());
  ASSERT_TRUE(listener);
  FakeProgram program(folder.socket());
  Channel channel(FileDescriptor(::accept(listener->get(), nullptr, nullptr)));
  for (int i = 0; i < 10'000; ++i) channel.offer({.kind = Kind::kAlive});  // nobody reads
  ASSERT_TRUE(channel.send({.kind = Kind::kEnd}, bytes_of("words"), deadline_after(milliseconds(100))));
  EXPECT_EQ(program.hear()->kind, Kind::kEnd);
}

TEST(ProgramLink, WithoutAProgramSaysWhatIsMissing) {
  const SocketFolder folder;
  auto link = listen(folder);
  const Status met = link->meet(kWorld, deadline_after(milliseconds(50)));
  ASSERT_FALSE(met);
  EXPECT_NE(met.error().message.find("muster.init()"), std::string::npos);
}

TEST(ProgramLink, ASecondProgramIsRefused) {
  const SocketFolder folder;
  auto link = listen(folder);
  const ProgramThread thread([&folder] {
    FakeProgram program(folder.socket());
    program.register_model(kModel, 100);
    EXPECT_FALSE(connect_to(folder.socket()));
    static_cast<void>(program.hear());
  });
  ASSERT_TRUE(link->meet(kWorld, soon()));
  link->end(0, "", seconds(1));
}

// What the program says first, in each of these ways wrong.
TEST(ProgramLink, ExamplesAreKnownByTheirFingerprintWhereThereIsOne) {
  const auto digest = [](std::int64_t examples, std::int64_t fingerprint) {
    return dataset_of({.tensors = kModel,
                       .parameters = 1,
                       .examples = examples,
                       .fingerprint = fingerprint,
                       .optimizer = ""})
        .digest;
  };
  EXPECT_EQ(digest(10, 3), digest(10, 3));
  EXPECT_NE(digest(10, 3), digest(10, 4));
  EXPECT_NE(digest(10, 3), digest(10, 0));
  EXPECT_NE(digest(10, 0), digest(11, 0));
}

// Compiled when the struct ended before the fingerprint: what lies behind it is not read.
TEST(ProgramAbi, AProgramOfAnOlderHeaderBeginsAllTheSame) {
  ::unsetenv("MUSTER_SOCKET");
  muster_job* job = muster_open();
  const std::int64_t shape[] = {1};
  ASSERT_EQ(muster_register_tensor(job, "w", 1, shape), 0);
  ASSERT_EQ(muster_allocate(job), 0);
  muster_training training{};
  training.size = offsetof(muster_training, fingerprint) - 1;
  training.examples = 2;
  EXPECT_EQ(muster_begin(job, &training), -1);
  training.size = offsetof(muster_training, fingerprint);
  EXPECT_EQ(muster_begin(job, &training), 0) << muster_last_error(job);
  muster_close(job);
}

TEST(ProgramLink, LiesEndTheTrainingInWordsAndNothingElse) {
  struct Case {
    const char* name;
    std::function<void(FakeProgram&)> program;
    const char* says;
  };
  const auto hello = [](FakeProgram& program) {
    program.tell({.kind = Kind::kHello, .numbers = {kProtocol}}, bytes_of("0.1.0"));
    static_cast<void>(program.hear());
  };
  const Case cases[] = {
      {"another protocol",
       [](FakeProgram& p) { p.tell({.kind = Kind::kHello, .numbers = {kProtocol + 1}}, bytes_of("9.9")); },
       "muster 9.9, which speaks another protocol"},
      {"no hello", [](FakeProgram& p) { p.tell({.kind = Kind::kStepped}); }, "where 1 is due"},
      {"no frame",
       [](FakeProgram& p) {
         const std::string noise(200, 'x');
         static_cast<void>(p.channel().send({.kind = static_cast<Kind>(999)}, bytes_of(noise), soon()));
       },
       "no frame"},
      {"no tensors",
       [&](FakeProgram& p) {
         hello(p);
         p.tell({.kind = Kind::kTensors}, bytes_of("garbage"));
       },
       "more than a million tensors"},
      {"a model that no memory holds",
       [&](FakeProgram& p) {
         hello(p);
         p.tell({.kind = Kind::kTensors}, write_tensors({{"w", {1LL << 40}}}));
       },
       "larger than any model"},
      {"no examples", [](FakeProgram& p) { p.register_model(kModel, 0); }, "tells of 0 examples"},
      {"more examples than a list holds", [](FakeProgram& p) { p.register_model(kModel, 1LL << 62); },
       "examples"},
      {"answers that nobody asked for",
       [&](FakeProgram& p) {
         hello(p);
         p.tell({.kind = Kind::kStepped});
         p.tell({.kind = Kind::kStepped});
       },
       "kind 5"},
  };
  for (const Case& one : cases) {
    const SocketFolder folder;
    auto link = listen(folder);
    const ProgramThread thread([&] {
      FakeProgram program(folder.socket());
      one.program(program);
      while (program.hear()) {
      }
    });
    const Status met = link->meet(kWorld, soon());
    EXPECT_FALSE(met) << one.name;
    if (!met) {
      EXPECT_NE(met.error().message.find(one.says), std::string::npos)
          << one.name << ": " << met.error().message;
    }
    EXPECT_FALSE(link->failure()) << one.name;
    link.reset();
  }
}

TEST(ProgramLink, AStateThatIsTooLongIsNotTakenIntoMemory) {
  const SocketFolder folder;
  auto link = listen(folder);
  const ProgramThread thread([&folder] {
    FakeProgram program(folder.socket());
    program.register_model(kModel, 100);
    static_cast<void>(program.hear());
    const auto head = encode({.kind = Kind::kState, .body_bytes = std::uint64_t{1} << 35});
    program.channel().offer(*decode(head));
    while (program.hear()) {
    }
  });
  ASSERT_TRUE(link->meet(kWorld, soon()));
  const auto state = link->state();
  ASSERT_FALSE(state);
  EXPECT_NE(state.error().message.find("keeps a state of"), std::string::npos) << state.error().message;
  link.reset();
}

TEST(SealedMemory, CannotBeMadeShorterByEitherEnd) {
  auto memory = SealedMemory::make("a test", 4096);
  ASSERT_TRUE(memory);
  EXPECT_NE(::ftruncate(memory->descriptor(), 0), 0);
  FileDescriptor soft(::memfd_create("soft", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(soft.get(), 4096), 0);
  EXPECT_FALSE(SealedMemory::map(std::move(soft), 4096));
  EXPECT_FALSE(SealedMemory::map(FileDescriptor(::dup(memory->descriptor())), 8192));
  EXPECT_TRUE(SealedMemory::map(FileDescriptor(::dup(memory->descriptor())), 4096));
}

TEST(CompareModels, NamesBothHashesAndTheFirstTensorThatDiffers) {
  auto group = worker::test::collectives(worker::test::memory_mesh(3, 1));
  worker::test::on_all_ranks(3, [&](int rank) {
    std::vector<TensorShape> mine = kModel;
    if (rank == 2) mine[1].shape = {4};
    const Status same = compare_models(*group[static_cast<std::size_t>(rank)], mine, soon());
    EXPECT_EQ(same.has_value(), rank != 2);
    if (same) return;
    EXPECT_EQ(same.error().code, Code::kInvalidArgument);
    for (const std::string& part : {hash_of(kModel).substr(0, 16), hash_of(mine).substr(0, 16),
                                    std::string("b float32 [] there"), std::string("b float32 [4] here")})
      EXPECT_NE(same.error().message.find(part), std::string::npos) << same.error().message;
  });
}

// As python/muster/_library.py knows them (tests/python).
static_assert(sizeof(muster_event) == 80 && sizeof(muster_world) == 64 && sizeof(muster_training) == 56);

// The C library against the worker's end.
TEST(MusterWorkerAbi, TrainsByTheWorkersWords) {
  const SocketFolder folder;
  auto link = listen(folder);
  ::setenv("MUSTER_SOCKET", folder.socket().c_str(), 1);
  ::setenv("MUSTER_TERMINATION_LOG", (folder.socket() + ".words").c_str(), 1);
  const ProgramThread thread([] {
    muster_job* job = muster_open();
    ASSERT_STREQ(muster_last_error(job), "");
    muster_world world{};
    world.size = sizeof world;
    ASSERT_EQ(muster_get_world(job, &world), 0);
    EXPECT_EQ(world.ranks, 3);
    const std::int64_t shape[] = {2, 3};
    ASSERT_EQ(muster_register_tensor(job, "w", 2, shape), 0);
    EXPECT_EQ(muster_parameters(job, nullptr), nullptr);
    ASSERT_EQ(muster_allocate(job), 0) << muster_last_error(job);
    EXPECT_EQ(muster_register_tensor(job, "late", 2, shape), -1);
    muster_parameters(job, nullptr)[5] = 4;
    muster_event event{};
    event.size = sizeof event;
    EXPECT_EQ(muster_next(job, 0, &event), -1);  // before muster_begin
    muster_training training{};
    training.size = sizeof training;
    training.examples = 10;
    training.fingerprint = ~std::uint64_t{0};
    ASSERT_EQ(muster_begin(job, &training), 0);
    EXPECT_EQ(muster_stepped(job), -1) << "nothing is due";
    ASSERT_EQ(muster_next(job, -1, &event), 0);
    ASSERT_EQ(event.kind, MUSTER_BATCH);
    EXPECT_EQ(event.row_count, 2U);
    EXPECT_EQ(event.rows[1], 9);
    EXPECT_EQ(event.step, 41);
    EXPECT_EQ(muster_next(job, -1, &event), -1) << "the batch has no gradient yet";
    muster_gradient(job, nullptr)[5] = 8;
    EXPECT_EQ(muster_report(job, 0.5, 97), -1);
    EXPECT_STREQ(muster_last_error(job),
                 "muster_report: accuracy is 97, but it is a share, 0 to 1; divide by 100");
    EXPECT_EQ(muster_report(job, std::numeric_limits<double>::infinity(), 0.5), -1);
    EXPECT_EQ(muster_report(job, -0.5, 1.0000001), 0) << muster_last_error(job);
    ASSERT_EQ(muster_gradient_ready(job, 0.5, 1), 0);
    ASSERT_EQ(muster_next(job, -1, &event), 0);
    ASSERT_EQ(event.kind, MUSTER_GIVE_STATE);
    ASSERT_EQ(muster_give_state(job, "abc", 3), 0);
    ASSERT_EQ(muster_next(job, -1, &event), 0);
    ASSERT_EQ(event.kind, MUSTER_END);
    EXPECT_EQ(event.exit_code, 65);
    EXPECT_STREQ(event.words, "it cannot be");
    std::ostringstream written;
    written << std::ifstream(std::getenv("MUSTER_TERMINATION_LOG")).rdbuf();
    EXPECT_EQ(written.str(), "muster.dev/ending: it cannot be")
        << "by which the operator knows whose word 65 is";
    muster_close(job);
  });
  ASSERT_TRUE(link->meet(kWorld, soon()));
  EXPECT_EQ(link->parameters()[5], 4);
  EXPECT_EQ(link->model().fingerprint, -1);
  link->place({.step = 41, .size = 3});
  ASSERT_TRUE(link->gradient_of(std::vector<std::int64_t>{0, 9}));
  EXPECT_EQ(link->gradient()[5], 8);
  const auto none = link->gradient_of({});  // is answered by the library: the program hears nothing of it
  ASSERT_TRUE(none) << none.error().message;
  const auto state = link->state();
  ASSERT_TRUE(state);
  EXPECT_EQ(*state, bytes_of("abc"));
  link->end(65, "it cannot be", seconds(5));
}

// Whatever listens there.
TEST(MusterWorkerAbi, IsNotBroughtDownByAWorkerThatLies) {
  for (const int way : {0, 1, 2, 3}) {
    const SocketFolder folder;
    auto listener = listen_at(folder.socket());
    ASSERT_TRUE(listener);
    ::setenv("MUSTER_SOCKET", folder.socket().c_str(), 1);
    const ProgramThread thread([&] {
      FileDescriptor socket;
      while (!socket.valid()) socket = FileDescriptor(::accept(listener->get(), nullptr, nullptr));
      Channel channel(std::move(socket));
      const auto tell = [&](const Frame& frame, int descriptor = -1) {
        static_cast<void>(channel.send(frame, {}, soon(), descriptor));
      };
      if (way == 0) tell(write_batch({}, 0));
      if (way >= 1) tell(write_world({.batch_size = 1}));
      if (way == 1) tell({.kind = Kind::kMemory, .numbers = {6, 0, 1LL << 50}});
      if (way == 2) tell({.kind = Kind::kMemory, .numbers = {6, 16, 88}}, STDIN_FILENO);
      if (way == 3) tell({.kind = Kind::kEnd, .numbers = {65}});
      static_cast<void>(channel.receive(deadline_after(milliseconds(300))));
    });
    muster_job* job = muster_open();
    const std::int64_t shape[] = {2, 3};
    const bool failed = *muster_last_error(job) != '\0' || muster_register_tensor(job, "w", 2, shape) != 0 ||
                        muster_allocate(job) != 0;
    EXPECT_TRUE(failed) << way;
    muster_close(job);
  }
}

}  // namespace
}  // namespace muster::program::test
