// Redis: APPEND over a unix socket to a server of the program's own, which ends with it.
//
// Batched: 1,024 commands in one pipeline. No snapshots and no append-only file: all stays in memory.
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <hiredis/hiredis.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.hpp"

namespace {

using compare::Buffer;
using compare::fail;
using compare::fail_by_errno;
using compare::Pair;
using compare::Task;

using Connection = std::unique_ptr<redisContext, decltype(&redisFree)>;
using Reply = std::unique_ptr<redisReply, decltype(&freeReplyObject)>;

class Redis {
public:
    static constexpr bool kOneProcess = false;

    explicit Redis(const Task& task) : socket_(task.folder + "/redis.sock") {
        server_ = ::fork();
        if (server_ < 0) fail_by_errno("fork");
        if (server_ == 0) serve(task.folder);
        for (int tries = 0; tries < 500; ++tries) {
            const Connection connection(redisConnectUnix(socket_.c_str()), &redisFree);
            if (connection && connection->err == 0) {
                version_ = version_of(*connection);
                return;
            }
            if (::waitpid(server_, nullptr, WNOHANG) == server_) fail("redis-server did not start");
            ::usleep(10'000);
        }
        fail("redis-server gives no answer");
    }
    Redis(const Redis&) = delete;
    Redis& operator=(const Redis&) = delete;
    ~Redis() {
        ::kill(server_, SIGKILL);  // nothing of it is to be kept
        ::waitpid(server_, nullptr, 0);
    }
    [[nodiscard]] std::string version() const { return version_; }
    [[nodiscard]] compare::Settings settings() const {
        return {{"socket", "unix"},
                {"save", "none"},
                {"appendonly", "no"},
                {"io-threads", "1, as its documentation advises below 4 cores"},
                {"batched", "a pipeline of 1,024 commands"}};
    }

    class Hand {
    public:
        Hand(const Redis& peer, const Task&, unsigned)
            : server_(peer.server_), connection_(redisConnectUnix(peer.socket_.c_str()), &redisFree) {
            if (!connection_ || connection_->err != 0) fail("cannot connect to redis-server");
        }
        void append(const Pair& pair) {
            send(pair);
            take(REDIS_REPLY_INTEGER);
        }
        void append(std::span<const Pair> batch) {
            for (const Pair& pair : batch) send(pair);
            for (std::size_t at = 0; at < batch.size(); ++at) take(REDIS_REPLY_INTEGER);
        }
        std::size_t get(std::string_view key, Buffer& buffer) {
            const char* arguments[] = {"GET", key.data()};
            const std::size_t lengths[] = {3, key.size()};
            redisAppendCommandArgv(connection_.get(), 2, arguments, lengths);
            const Reply reply = take(REDIS_REPLY_STRING);
            std::memcpy(buffer.room(reply->len), reply->str, reply->len);
            return reply->len;
        }
        void empty() {
            redisAppendCommand(connection_.get(), "FLUSHALL SYNC");
            take(REDIS_REPLY_STATUS);
        }
        // Of the server, from its /proc/PID/stat: the 14th and 15th field, in ticks.
        double helper_cpu_seconds() {
            std::ifstream file("/proc/" + std::to_string(server_) + "/stat");
            std::string line;
            std::getline(file, line);
            unsigned long user = 0;
            unsigned long system = 0;
            std::sscanf(line.c_str() + line.rfind(')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                        &user, &system);
            return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
        }

    private:
        void send(const Pair& pair) {
            const char* arguments[] = {"APPEND", pair.key.data(), pair.record.data()};
            const std::size_t lengths[] = {6, pair.key.size(), pair.record.size()};
            redisAppendCommandArgv(connection_.get(), 3, arguments, lengths);
        }
        Reply take(int type) {
            void* answer = nullptr;
            if (redisGetReply(connection_.get(), &answer) != REDIS_OK) fail(connection_->errstr);
            Reply reply(static_cast<redisReply*>(answer), &freeReplyObject);
            if (reply->type != type) fail(std::string(reply->str, reply->len));
            return reply;
        }

        pid_t server_;
        Connection connection_;
    };

private:
    [[noreturn]] void serve(const std::string& folder) const {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const std::string log = folder + "/redis.log";
        ::execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", socket_.c_str(), "--save", "",
                 "--appendonly", "no", "--dir", folder.c_str(), "--logfile", log.c_str(), "--daemonize", "no",
                 nullptr);
        ::_exit(127);
    }
    static std::string version_of(redisContext& connection) {
        const Reply reply(static_cast<redisReply*>(redisCommand(&connection, "INFO server")), &freeReplyObject);
        if (!reply || reply->type != REDIS_REPLY_STRING) return "unknown";
        const std::string info(reply->str, reply->len);
        const std::size_t at = info.find("redis_version:");
        return at == std::string::npos ? "unknown" : info.substr(at + 14, info.find('\r', at) - at - 14);
    }

    std::string socket_;
    std::string version_;
    pid_t server_ = -1;
};

}  // namespace

int main(int argc, char** argv) { return compare::run<Redis>(argc, argv); }
