// A generation begins when each mapper and writer has come, whoever calls, is late or leaves for good.
#include "shuffle/meeting.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include "catch.hpp"
#include "shuffle/job_board.hpp"

namespace shoal::shuffling::test {
namespace {

struct Board {
    Meeting meeting;
    std::atomic<std::uint64_t> mapped[2]{};  // things of a generation that mappers have made, by parity
    std::atomic<std::uint64_t> written{0};   // those that writers have taken
    std::atomic<std::uint64_t> generations{0};
    std::atomic<unsigned> wrong{0};
};

// Has a number of things to make, and calls now and then.
void be_mapper(Board& board, unsigned index, unsigned things) {
    for (unsigned thing = 0; thing < things; ++thing) {
        const std::uint64_t generation = board.meeting.generation();
        board.mapped[generation % 2].fetch_add(1);
        if (board.meeting.generation() != generation) board.wrong.fetch_add(1);
        if (thing % (20 + index) == index) board.meeting.call();
        if (board.meeting.called() && !board.meeting.attend()) board.wrong.fetch_add(1);
    }
    board.meeting.leave();
}

// Takes what the last generation has, to which nobody adds.
void be_writer(Board& board) {
    while (board.meeting.attend()) {
        const std::uint64_t generation = board.meeting.generation();
        board.generations.store(generation);
        board.written.fetch_add(board.mapped[(generation - 1) % 2].exchange(0));
        for (int i = 0; i < 100; ++i) {
            if (board.mapped[(generation - 1) % 2].load() != 0) board.wrong.fetch_add(1);
        }
        if (board.meeting.generation() != generation) board.wrong.fetch_add(1);
    }
}

}  // namespace

TEST_CASE("nobody works on the generation that is written, and none begins before it is") {
    const unsigned mappers = GENERATE(1U, 2U, 5U);
    const unsigned writers = GENERATE(1U, 3U);
    auto boards = SharedArray<Board>::make(1);
    REQUIRE(boards.has_value());
    Board& board = (*boards)[0];
    board.meeting.expect(mappers, writers);
    std::vector<pid_t> children;
    std::uint64_t things = 0;
    for (unsigned index = 0; index < mappers + writers; ++index) {
        const unsigned own = index < mappers ? 300 + 200 * index : 0;
        things += own;
        const pid_t child = fork();
        if (child == 0) {
            index < mappers ? be_mapper(board, index, own) : be_writer(board);
            _exit(0);
        }
        REQUIRE(child > 0);
        children.push_back(child);
    }
    for (const pid_t child : children) {
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    CHECK(board.wrong == 0);
    CHECK(board.generations > 5);
    CHECK(board.written > 0);
    CHECK(board.mapped[(board.generations + 1) % 2] == 0);
    CHECK(board.written + board.mapped[board.generations % 2] == things);
}

TEST_CASE("who is called when nobody is left gets no new generation") {
    auto meetings = SharedArray<Meeting>::make(1);
    REQUIRE(meetings.has_value());
    Meeting& meeting = (*meetings)[0];
    meeting.expect(1, 1);
    meeting.call();
    meeting.leave();
    CHECK_FALSE(meeting.attend());
    CHECK(meeting.generation() == 0);
}

}  // namespace shoal::shuffling::test
