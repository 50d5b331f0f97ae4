module millstream.example/bench/collector

go 1.21
