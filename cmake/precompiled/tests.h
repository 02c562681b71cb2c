// cmake/precompiled/tests.h: as common.h, for tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/precompiled/common.h"
