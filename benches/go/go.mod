module gusty-bench

go 1.22
