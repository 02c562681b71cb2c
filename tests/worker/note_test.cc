// tests/worker/note_test.cc: notes there and back, and bytes that are none
#include "worker/transport/note.h"

#include <gtest/gtest.h>

#include "common/base/random.h"

namespace muster::worker {
namespace {

TEST(Note, ArrivesCutAndWithoutControlCharacters) {
  const auto note = decode_note(
      encode_note({.kind = Note::Kind::kLost, .reason = data_loss("a\nb" + std::string(1000, 'x'))}));
  ASSERT_TRUE(note);
  EXPECT_EQ(note->kind, Note::Kind::kLost);
  EXPECT_EQ(note->reason, data_loss("a?b" + std::string(237, 'x')));
}

TEST(Note, RandomBytesAreNone) {
  Random random(11);
  for (int i = 0; i < 1000; ++i) {
    NoteBytes bytes;
    for (auto& byte : bytes) byte = static_cast<std::byte>(random.next());
    EXPECT_FALSE(decode_note(bytes));
  }
}

}  // namespace
}  // namespace muster::worker
