-- Reads one patient after another at an even pace: each connection waits, so that all together ask RATE times a second.
local ids, rate, connections

function init(arguments)
    ids = {}
    for line in io.lines(os.getenv("IDS")) do ids[#ids + 1] = line end
    rate = tonumber(os.getenv("RATE"))
    connections = tonumber(os.getenv("CONNECTIONS"))
    wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN")
    math.randomseed(7)
end

function delay()
    return 1000 * connections / rate * (0.5 + math.random())
end

function request()
    return wrk.format("GET", os.getenv("PREFIX") .. ids[math.random(#ids)])
end

function done(summary, latency, requests)
    local errors = summary.errors.status + summary.errors.read + summary.errors.timeout + summary.errors.connect
    io.write(string.format(
        '{"per_second": %.0f, "p50_ms": %.2f, "p99_ms": %.2f, "p999_ms": %.2f, "errors": %d}\n',
        summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1000,
        latency:percentile(99) / 1000, latency:percentile(99.9) / 1000, errors))
end
