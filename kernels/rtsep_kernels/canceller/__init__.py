"""The recursive canceller: y_i = x_i - sum over j != i of a_ij * y_j.

A block's life:

    audio thread (`apply`)                                    helper thread, or the same one (`job`)

    block m is heard: x and y go to the history,
      sample by sample
    its last sample ends it: spectra of y,
      job m is published (`plane.due`)               ----->   job m: who is in instantaneous mode (`instant`), who may
    block m + 1 is heard                                        learn and how much is given (`guard`), the paths
                                                                themselves (`kalman`), which pairs (`choice`);
                                                              a quarter of the filters goes to their idle version
    block m + 2 is heard                             <-----     (`handover`); and the job is done;
                                                              then a share of the refinement (`refine`)
    its last sample ends it: job m is due (see `DUE`),
      or late; the version of its group is flipped,
      and so the next one may be written
    block m + 3 is the first that is cleaned with what was learnt from block m

What the audio thread subtracts is summed in `sums`; `sparing` leaves pairs out of it while the machine is too slow.
Who is `dead`, in `quarantine` or of flipped `polarity` teaches nobody wrong paths. `record` has the tables that several
of these use, `paths` changes what has been learnt as a whole.
"""
