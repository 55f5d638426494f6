"""Quick benchmarks for asv, which runs them on each of several commits.

    make asv                                   the last two commits
    make asv COMMITS="v0.1.0 HEAD"             any two
    make asv ASV="run --quick HEAD^!"          another command of asv

They use nothing but what users use, the program and its public names, so that they run on older commits, too. The benchmarks
beside this folder are slower and compare with other programs.
"""
