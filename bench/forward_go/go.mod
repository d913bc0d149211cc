module forward_go

go 1.19
